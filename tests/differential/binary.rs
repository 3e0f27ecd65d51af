//! Binary commands of the stream, and their packets.
//!
//! Keys and values are those of the classic commands; expiry times are never negative, because
//! 1.6.45 takes negative ones for the far future and we for the past (see `allowed`).

use crate::commands::{Command, Generator, Part};

pub(crate) const HEADER_LEN: usize = 24;
pub(crate) const NOOP: u8 = 0x0a;
pub(crate) const STAT: u8 = 0x10;
pub(crate) const VERSION: u8 = 0x0b;

/// The opaque of fences; no other packet has it.
pub(crate) const FENCE_OPAQUE: u32 = u32::MAX;

/// A request.
#[derive(Clone, Default)]
pub(crate) struct Packet {
    pub(crate) opcode: u8,
    pub(crate) extras: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) opaque: u32,
    /// Changed bits of the server's last CAS id of the key; without them no id is sent.
    pub(crate) cas_change: Option<u64>,
}

impl Packet {
    pub(crate) fn encode(&self, cas: u64, bytes: &mut Vec<u8>) {
        let narrow = |length: usize| u32::try_from(length).expect("requests are small");
        let key_len = u16::try_from(self.key.len()).expect("keys are short");
        let extras_len = u8::try_from(self.extras.len()).expect("extras are short");
        let body_len = narrow(self.extras.len() + self.key.len() + self.value.len());
        bytes.extend_from_slice(&[0x80, self.opcode]);
        bytes.extend_from_slice(&key_len.to_be_bytes());
        bytes.extend_from_slice(&[extras_len, 0, 0, 0]);
        bytes.extend_from_slice(&body_len.to_be_bytes());
        bytes.extend_from_slice(&self.opaque.to_be_bytes());
        bytes.extend_from_slice(&cas.to_be_bytes());
        for part in [&self.extras, &self.key, &self.value] {
            bytes.extend_from_slice(part);
        }
    }
}

pub(crate) fn fence() -> Vec<u8> {
    let mut bytes = vec![];
    let packet = Packet {
        opcode: NOOP,
        opaque: FENCE_OPAQUE,
        ..Packet::default()
    };
    packet.encode(0, &mut bytes);
    bytes
}

impl From<Packet> for Command {
    fn from(packet: Packet) -> Self {
        Self {
            parts: vec![Part::Packet(packet)],
            allowed: None,
        }
    }
}

impl Generator {
    /// A binary command, quiet or not.
    pub(crate) fn binary(&mut self) -> Command {
        let mut packet = match self.random.below(100) {
            0..=29 => self.binary_get(),
            30..=54 => self.binary_store(),
            55..=64 => self.binary_combine(),
            65..=71 => self.binary_delete(),
            72..=84 => self.binary_count(),
            85..=93 => self.binary_touch(),
            94..=95 => self.binary_body(),
            _ => self.binary_other(),
        };
        // From the opaque of a reply `wire` knows which key was asked for.
        self.opaque = (self.opaque + 1) % (1 << 30);
        packet.opaque = self.opaque;
        packet.into()
    }

    fn opcode(&mut self, opcodes: &[u8]) -> u8 {
        self.random.clone_pick(opcodes)
    }

    fn binary_key(&mut self) -> Vec<u8> {
        match self.random.below(5) {
            0 => self.pick(|generator| &generator.stale),
            1 => self.pick(|generator| &generator.encoded),
            _ => self.any_key(),
        }
    }

    fn cas_change(&mut self) -> Option<u64> {
        let change = self.random.clone_pick(&[0, 0, 0, 1 << 60]);
        self.random.one_in(5).then_some(change)
    }

    fn later(&mut self) -> [u8; 4] {
        let times = [0, 0, 0, 0, 100, 1000, 2_592_000, 2_000_000_000, 2_592_001];
        let time: u32 = self.random.clone_pick(&times);
        time.to_be_bytes()
    }

    fn binary_get(&mut self) -> Packet {
        Packet {
            opcode: self.opcode(&[0x00, 0x00, 0x09, 0x0c, 0x0d]),
            key: self.binary_key(),
            ..Packet::default()
        }
    }

    fn store_extras(&mut self) -> Vec<u8> {
        let flags: u32 = self.random.clone_pick(&[0, 0, 5, 65535, u32::MAX]);
        [flags.to_be_bytes(), self.later()].concat()
    }

    fn binary_store(&mut self) -> Packet {
        let key = match self.random.below(4) {
            0 => self.pick(|generator| &generator.stale),
            _ => self.small_key(),
        };
        let value = if key.starts_with(b"n") {
            self.number_like()
        } else {
            self.text(0)
        };
        Packet {
            opcode: self.opcode(&[0x01, 0x01, 0x01, 0x02, 0x03, 0x11, 0x12, 0x13]),
            extras: self.store_extras(),
            key,
            value,
            cas_change: self.cas_change(),
            ..Packet::default()
        }
    }

    fn binary_combine(&mut self) -> Packet {
        Packet {
            opcode: self.opcode(&[0x0e, 0x0f, 0x19, 0x1a]),
            key: self.pick(|generator| &generator.words),
            value: self.text(0),
            cas_change: self.cas_change(),
            ..Packet::default()
        }
    }

    fn binary_body(&mut self) -> Packet {
        let length = self
            .random
            .clone_pick(&[17 << 10, 20 << 10, 100 << 10, 3 << 20]);
        Packet {
            opcode: self.opcode(&[0x01, 0x01, 0x02, 0x03, 0x11]),
            extras: self.store_extras(),
            key: self.pick(|generator| &generator.bodies),
            value: self.bytes(length),
            ..Packet::default()
        }
    }

    fn binary_delete(&mut self) -> Packet {
        Packet {
            opcode: self.opcode(&[0x04, 0x04, 0x14]),
            key: self.binary_key(),
            cas_change: self.cas_change(),
            ..Packet::default()
        }
    }

    /// Under the limits of the classic arithmetic.
    fn binary_count(&mut self) -> Packet {
        let number = !self.random.one_in(4);
        let key = if number {
            self.pick(|generator| &generator.numbers)
        } else {
            self.pick(|generator| &generator.words)
        };
        let up = [0x05, 0x15];
        let both = [0x05, 0x06, 0x06, 0x15, 0x16];
        let opcode = self.opcode(if number { &both } else { &up });
        let delta = self.random.next() % 1000;
        let initial = self.random.next() >> 34;
        let exptime = if self.random.one_in(2) {
            [0xff; 4]
        } else {
            self.later()
        };
        let extras = [
            &delta.to_be_bytes()[..],
            &initial.to_be_bytes(),
            &exptime[..],
        ];
        Packet {
            opcode,
            extras: extras.concat(),
            key,
            cas_change: self.cas_change(),
            ..Packet::default()
        }
    }

    fn binary_touch(&mut self) -> Packet {
        Packet {
            opcode: self.opcode(&[0x1c, 0x1c, 0x1d, 0x1e, 0x23, 0x24]),
            extras: self.later().into(),
            key: self.binary_key(),
            ..Packet::default()
        }
    }

    fn binary_other(&mut self) -> Packet {
        let mut packet = Packet::default();
        // Flushes come last; newer peers get none, see `allowed`.
        let kinds = if self.newer { 10 } else { 12 };
        match self.random.below(kinds) {
            0..=2 => packet.opcode = NOOP,
            3..=4 => packet.opcode = VERSION,
            // Without a body memcached survives what it does not know.
            5..=6 => packet.opcode = self.opcode(&[0x1b, 0x1f, 0x20, 0x25, 0x30, 0x7f, 0xff]),
            10 => packet.opcode = self.opcode(&[0x08, 0x18]),
            11 => {
                packet.opcode = self.opcode(&[0x08, 0x18]);
                packet.extras = vec![0; 4];
            }
            _ => {
                packet.opcode = STAT;
                let groups: [&[u8]; 8] = [
                    b"",
                    b"settings",
                    b"items",
                    b"slabs",
                    b"reset",
                    b"bogus",
                    b"detail dump",
                    b"detail off",
                ];
                packet.key = self.random.clone_pick(&groups).into();
            }
        }
        packet
    }
}
