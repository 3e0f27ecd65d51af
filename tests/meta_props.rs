//! The meta grammar under every input: no panic, no block taken for commands, nothing lost.

use nuthatch::base::key::{KEY_LEN_MAX, Key};
use nuthatch::protocol::VALUE_LEN_MAX;
use nuthatch::protocol::meta::{
    DecodedKey, MetaCommand, MetaLine, MetaRequest, needs_base64, parse, push_base64, push_key,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

const SIMPLE: &[u8] = b"cfhIklqstuvxPL";

/// One flag with an argument that suits its letter.
fn flag() -> impl Strategy<Value = String> {
    let simple = (0..SIMPLE.len()).prop_map(|index| char::from(SIMPLE[index]).to_string());
    let signed = (prop_oneof![Just('T'), Just('N'), Just('R')], any::<i32>());
    let wide = (
        prop_oneof![Just('C'), Just('E'), Just('D'), Just('J')],
        any::<u64>(),
    );
    prop_oneof![
        simple,
        signed.prop_map(|(letter, number)| format!("{letter}{number}")),
        wide.prop_map(|(letter, number)| format!("{letter}{number}")),
        any::<u32>().prop_map(|number| format!("F{number}")),
        "O[!-~]{0,31}",
    ]
}

fn request<'a>(line: &'a [u8], decoded: &'a mut Option<DecodedKey>) -> Option<MetaRequest<'a>> {
    match parse(line, decoded) {
        Ok(MetaLine::Request(request)) => Some(request),
        _ => None,
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered_without_a_panic(line in vec(any::<u8>(), 0..400)) {
        let _ = parse(&line, &mut None);
    }

    #[test]
    fn any_tail_is_answered_without_a_panic(
        letter in prop_oneof![Just(b'g'), Just(b's'), Just(b'd'), Just(b'a'), Just(b'e')],
        tail in "[ -~]{0,80}",
    ) {
        let line = [&[b'm', letter, b' '][..], tail.as_bytes()].concat();
        if let Some(request) = request(&line, &mut None) {
            prop_assert!(request.key.key().as_bytes().len() <= KEY_LEN_MAX);
            prop_assert!(request.flags.iter().count() <= 18);
        }
    }

    #[test]
    fn a_readable_length_is_consumed_whatever_else_is_wrong(
        key in "[!-~]{1,300}",
        len in 0..=VALUE_LEN_MAX,
        tail in "[ -~]{0,60}",
    ) {
        let line = format!("ms {key} {len} {tail}");
        let consumed = match parse(line.as_bytes(), &mut None) {
            Ok(MetaLine::Request(request)) => u64::from(request.value_len) + 2,
            Ok(MetaLine::Noop) => 0,
            Err(rejected) => rejected.skip,
        };
        prop_assert_eq!(consumed, u64::from(len) + 2);
    }

    #[test]
    fn flags_survive_the_line(key in "[!-~]{1,250}", flags in vec(flag(), 0..12)) {
        let line = format!("mg {key}  {} ", flags.join("  "));
        let mut letters: Vec<u8> = flags.iter().map(|flag| flag.as_bytes()[0]).collect();
        letters.sort_unstable();
        let unique = letters.windows(2).all(|pair| pair[0] != pair[1]);
        let mut decoded = None;
        let parsed = request(line.as_bytes(), &mut decoded);
        prop_assert_eq!(parsed.is_some(), unique);
        if let Some(request) = parsed {
            prop_assert_eq!(request.command, MetaCommand::Get);
            prop_assert_eq!(request.key.key().as_bytes(), key.as_bytes());
            let again: Vec<String> = request
                .flags
                .iter()
                .map(|flag| {
                    let argument = String::from_utf8_lossy(flag.argument);
                    format!("{}{argument}", char::from(flag.letter))
                })
                .collect();
            prop_assert_eq!(again, flags);
        }
    }

    #[test]
    fn letters_without_meaning_are_refused(letters in btree_set("[A-Za-z]", 1..6)) {
        let known = "bcCDEfFhIJklLMNOPqRstTuvx";
        let line = letters.iter().fold(String::from("mg k"), |line, letter| {
            let argument = if "TNRCEDJF".contains(letter.as_str()) { "1" } else { "" };
            format!("{line} {letter}{argument}")
        });
        let sound = letters.iter().all(|letter| known.contains(letter.as_str()));
        let base64 = letters.contains("b");
        prop_assert_eq!(request(line.as_bytes(), &mut None).is_some(), sound && !base64);
    }

    #[test]
    fn base64_keys_survive_the_wire(bytes in vec(any::<u8>(), 1..=186)) {
        let mut encoded = vec![];
        push_base64(&mut encoded, &bytes);
        let decoded = DecodedKey::decode(&encoded).map(|key| key.key().as_bytes().to_vec());
        prop_assert_eq!(decoded.as_deref(), Some(&bytes[..]));
        let line = [b"mg ", &encoded[..], b" b"].concat();
        let request =
            request(&line, &mut None).map(|found| found.key.key().as_bytes().to_vec());
        prop_assert_eq!(request.as_deref(), Some(&bytes[..]));
    }

    #[test]
    fn an_echoed_key_is_one_token_of_one_line(bytes in vec(any::<u8>(), 1..=250)) {
        let key = Key::new(&bytes).expect("1 to 250 bytes");
        let mut out = vec![];
        push_key(&mut out, key, false);
        let echoed = out.strip_prefix(b" k").expect("flag letter");
        let echoed = if needs_base64(key) {
            echoed.strip_suffix(b" b").expect("marked as base64")
        } else {
            echoed
        };
        prop_assert!(!echoed.iter().any(|byte| matches!(byte, b' ' | b'\r' | b'\n')));
    }
}
