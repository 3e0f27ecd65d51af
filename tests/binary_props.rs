//! The binary grammar under every input: exact consumption or the end of the connection.

use nuthatch::protocol::binary::{
    BODY_LEN_MAX, Command, Gate, HEADER_LEN, LOGIN_LEN_MAX, MAGIC_REQUEST, Opcode, PacketRejection,
    Parsed, Reply, RequestHeader, Status, Then, parse,
};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

/// The header of one attack.
fn header(opcode: u8, key_len: u16, extras_len: u8, body_len: u32) -> RequestHeader {
    RequestHeader {
        magic: MAGIC_REQUEST,
        opcode,
        key_len,
        extras_len,
        body_len,
        opaque: 9,
        cas: 0,
    }
}

/// The header with more bytes after it than any body that is waited for.
fn judged(header: &RequestHeader, gate: Gate) -> Result<(Option<Status>, Then), usize> {
    let input = [&header.to_bytes()[..], &[b'x'; 600]].concat();
    match parse(&input, gate) {
        Parsed::Rejected(PacketRejection { reply, then }) => {
            Ok((reply.map(|(_, status)| status), then))
        }
        Parsed::Request(request) => Err(request.consumed),
        Parsed::Incomplete { needed } => Err(needed),
    }
}

const CLOSE_UNKNOWN: Result<(Option<Status>, Then), usize> =
    Ok((Some(Status::UnknownCommand), Then::Close));
const CLOSE_INVALID: Result<(Option<Status>, Then), usize> =
    Ok((Some(Status::InvalidArguments), Then::Close));

#[test]
fn a_body_shorter_than_its_parts_closes() {
    // CVE-2016-8704: append and prepend with a negative value length.
    for opcode in [0x0e, 0x0f, 0x19, 0x1a] {
        for body_len in [0, 1, 249] {
            assert_eq!(
                judged(&header(opcode, 250, 0, body_len), Gate::Open),
                CLOSE_UNKNOWN
            );
        }
    }
    // CVE-2016-8705: the same for the stores with extras.
    for opcode in [0x01, 0x02, 0x03, 0x11, 0x12, 0x13] {
        for body_len in [0, 250, 257] {
            assert_eq!(
                judged(&header(opcode, 250, 8, body_len), Gate::Open),
                CLOSE_UNKNOWN
            );
        }
        assert_eq!(
            judged(&header(opcode, 250, 8, 0xffff_ffd0), Gate::Open),
            CLOSE_INVALID
        );
    }
    // CVE-2016-8706: a login whose name is longer than its body, with logins on and off.
    for gate in [Gate::Open, Gate::Locked, Gate::Unlocked] {
        assert_eq!(judged(&header(0x21, 32, 0, 1), gate), CLOSE_UNKNOWN);
    }
}

#[test]
fn a_body_length_never_becomes_negative() {
    // CVE-2011-4971, and everything above a gibibyte.
    for opcode in [0x00, 0x01, 0x0e, 0x12, 0x1c, 0x21, 0x77] {
        for body_len in [0xffff_ffe8, 1 << 31, u32::MAX, BODY_LEN_MAX + 1] {
            assert_eq!(
                judged(&header(opcode, 1, 8, body_len), Gate::Open),
                CLOSE_INVALID
            );
        }
    }
    assert_eq!(
        judged(&header(0x01, 1, 8, BODY_LEN_MAX), Gate::Open),
        Err(24 + 9)
    );
}

#[test]
fn extras_that_do_not_fit_the_opcode_close() {
    // CVE-2020-10931: a get with extras.
    for extras_len in [1, 0x30, 0xff] {
        let get = header(0x00, 3, extras_len, u32::from(extras_len) + 3);
        assert_eq!(judged(&get, Gate::Open), CLOSE_INVALID);
    }
    for (opcode, extras_len) in [(0x01, 0), (0x05, 19), (0x08, 3), (0x0e, 8), (0x1c, 0)] {
        let request = header(opcode, 3, extras_len, u32::from(extras_len) + 3);
        assert_eq!(judged(&request, Gate::Open), CLOSE_INVALID, "{opcode:#x}");
    }
}

#[test]
fn a_tail_behind_a_request_without_value_closes() {
    for (opcode, extras_len) in [
        (0x00, 0),
        (0x04, 0),
        (0x05, 20),
        (0x10, 0),
        (0x1c, 4),
        (0x1d, 4),
        (0x1e, 4),
        (0x23, 4),
    ] {
        let request = header(opcode, 1, extras_len, u32::from(extras_len) + 1 + 24);
        assert_eq!(judged(&request, Gate::Open), CLOSE_INVALID, "{opcode:#x}");
    }
    for opcode in [0x07, 0x08, 0x0a, 0x0b] {
        assert_eq!(
            judged(&header(opcode, 0, 0, 24), Gate::Open),
            CLOSE_INVALID,
            "{opcode:#x}"
        );
    }
}

#[test]
fn keys_are_neither_empty_nor_over_250_bytes() {
    for (opcode, extras_len) in [(0x00, 0), (0x01, 8), (0x04, 0), (0x05, 20), (0x1c, 4)] {
        for key_len in [0, 251] {
            let body_len = u32::from(key_len) + u32::from(extras_len);
            let request = header(opcode, key_len, extras_len, body_len);
            assert_eq!(judged(&request, Gate::Open), CLOSE_INVALID, "{opcode:#x}");
        }
    }
}

#[test]
fn an_unknown_opcode_uses_up_its_body_exactly() {
    for opcode in [0x1b, 0x25, 0x30, 0x3c, 0xff, 0x20, 0x21, 0x22] {
        let refused = Ok((Some(Status::UnknownCommand), Then::Skip(24 + 17)));
        assert_eq!(
            judged(&header(opcode, 5, 4, 17), Gate::Open),
            refused,
            "{opcode:#x}"
        );
    }
}

#[test]
fn before_a_login_everything_else_closes() {
    let closed = Ok((Some(Status::AuthFailure), Then::Close));
    for opcode in (0..=255).filter(|opcode| !matches!(opcode, 0x0b | 0x20..=0x22)) {
        assert_eq!(
            judged(&header(opcode, 1, 0, 1), Gate::Locked),
            closed,
            "{opcode:#x}"
        );
    }
    assert_eq!(judged(&header(0x0b, 0, 0, 0), Gate::Locked), Err(24));
    assert_eq!(judged(&header(0x21, 5, 0, 17), Gate::Locked), Err(24 + 17));
    let long_name = Ok((Some(Status::InvalidArguments), Then::Skip(24 + 40)));
    assert_eq!(judged(&header(0x21, 33, 0, 40), Gate::Locked), long_name);
    let huge = header(0x21, 5, 0, LOGIN_LEN_MAX + 6);
    assert_eq!(judged(&huge, Gate::Locked), CLOSE_INVALID);
}

#[test]
fn a_wrong_first_byte_closes_in_silence() {
    let silence = Parsed::Rejected(PacketRejection {
        reply: None,
        then: Then::Close,
    });
    for input in [&b"g"[..], b"\x81", b"get foo\r\nget foo\r\nget foo\r\n"] {
        assert_eq!(parse(input, Gate::Open), silence);
    }
    assert_eq!(
        parse(b"", Gate::Open),
        Parsed::Incomplete { needed: HEADER_LEN }
    );
}

/// Headers near the limits that the table names.
fn any_header() -> impl Strategy<Value = RequestHeader> {
    let extras = prop_oneof![Just(0_u8), Just(4), Just(8), Just(20), any::<u8>()];
    let keys = prop_oneof![0_u16..40, 245_u16..260, any::<u16>()];
    let bodies = prop_oneof![0_u32..400, any::<u32>()];
    let shape = (0_u8..0x40, keys, extras, bodies, any::<(bool, u32, u64)>());
    shape.prop_map(
        |(opcode, key_len, extras_len, body_len, (exact, opaque, cas))| RequestHeader {
            body_len: if exact {
                u32::from(key_len) + u32::from(extras_len)
            } else {
                body_len
            },
            opaque,
            cas,
            ..header(opcode, key_len, extras_len, 0)
        },
    )
}

fn any_gate() -> impl Strategy<Value = Gate> {
    prop_oneof![Just(Gate::Open), Just(Gate::Locked), Just(Gate::Unlocked)]
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_a_panic(
        input in vec(any::<u8>(), 0..200),
        gate in any_gate(),
    ) {
        let _ = parse(&input, gate);
    }

    #[test]
    fn a_header_survives_the_wire(header in any_header()) {
        prop_assert_eq!(RequestHeader::read(&header.to_bytes()), Some(header));
    }

    #[test]
    fn a_request_is_used_up_exactly(header in any_header(), gate in any_gate()) {
        let total = HEADER_LEN as u64 + u64::from(header.body_len);
        let input = [&header.to_bytes()[..], &vec![b'k'; 66_000]].concat();
        match parse(&input, gate) {
            Parsed::Request(request) => {
                let to_come = match request.command {
                    Command::Store { value_len, .. } => u64::from(value_len),
                    _ => 0,
                };
                prop_assert_eq!(request.consumed as u64 + to_come, total);
                prop_assert_eq!(request.reply, Reply::to(&header));
                prop_assert_eq!(request.compare.unwrap_or(0), header.cas);
            }
            Parsed::Rejected(PacketRejection { then: Then::Skip(skip), .. }) => {
                prop_assert_eq!(skip, total);
            }
            Parsed::Rejected(PacketRejection { then: Then::Close, .. }) => {}
            Parsed::Incomplete { .. } => prop_assert!(false, "all of it is there"),
        }
    }

    #[test]
    fn bytes_may_come_one_at_a_time(header in any_header(), gate in any_gate()) {
        let input = [&header.to_bytes()[..], &[b'k'; 300]].concat();
        let whole = parse(&input, gate);
        for end in 0..input.len() {
            match parse(&input[..end], gate) {
                Parsed::Incomplete { needed } => prop_assert!(needed > end),
                early => {
                    prop_assert_eq!(early, whole);
                    break;
                }
            }
        }
    }

    #[test]
    fn replies_repeat_opcode_and_opaque(opcode in any::<u8>(), opaque in any::<u32>()) {
        let mut out = vec![];
        Reply { opcode, opaque }.push_status(&mut out, Status::NotStored);
        let header = RequestHeader::read(&out).expect("a whole header");
        prop_assert_eq!((header.opcode, header.opaque), (opcode, opaque));
        prop_assert_eq!(out.len(), HEADER_LEN + header.body_len as usize);
        prop_assert!(Opcode::of(opcode).is_none_or(|known| known.byte == opcode));
    }
}
