//! Any bytes: nothing panics, and how they arrive never changes what is answered.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use common::{Talk, settings};
use nuthatch::protocol::text::keys::{Next, next_key, single_get};
use nuthatch::protocol::text::parse_line;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;

/// Pieces that requests are made of, and some that they are not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"get ",
        b"gets ",
        b"gat ",
        b"gats ",
        b"set ",
        b"add ",
        b"cas ",
        b"append ",
        b"delete ",
        b"incr ",
        b"decr ",
        b"touch ",
        b"flush_all",
        b"flush_prefix",
        b"verbosity ",
        b"version",
        b"stats ",
        b"quit",
        b"watch ",
        b"slabs ",
        b"lru ",
        b"lru_crawler ",
        b"mg ",
        b"noreply",
        b"k",
        b"k1 ",
        b"longer-key ",
        b"0 ",
        b"1 ",
        b"5 ",
        b"-1 ",
        b"100000 ",
        b"4294967296 ",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"  ",
        b"value",
        b"HTTP/1.1",
        b"\x80",
        b"set k 0 0 5\r\nvalue\r\n",
        b"set k1 3 0 2\r\nab\r\n",
        b"get k\r\n",
        b"get k k1 k\r\n",
        b"incr k 1\r\n",
    ];
    prop_oneof![
        8 => proptest::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..20),
        1 => (any::<u8>(), prop_oneof![Just(249_usize), Just(250), Just(251), Just(3000)])
            .prop_map(|(byte, count)| vec![byte; count]),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..40).prop_map(|pieces| pieces.concat())
}

/// What is answered, and how it ends, when `input` arrives cut at `cuts`.
fn answer(input: &[u8], cuts: &[usize]) -> (Vec<u8>, String) {
    let mut talk = Talk::new(settings());
    let mut from = 0;
    for &cut in cuts {
        talk.send(&input[from..cut]);
        from = cut;
    }
    talk.send(&input[from..]);
    (std::mem::take(&mut talk.reply), format!("{:?}", talk.ended))
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn lines_of_any_bytes_are_parsed_or_refused(line in vec(any::<u8>(), 0..300)) {
        let _ = parse_line(&line);
    }

    #[test]
    fn lines_of_likely_words_are_parsed_or_refused(line in stream()) {
        let _ = parse_line(&line);
    }

    #[test]
    fn a_key_is_never_empty_never_long_and_holds_no_separator(input in vec(any::<u8>(), 0..600)) {
        if let Next::Key(key, end) = next_key(&input) {
            prop_assert!(end <= input.len());
            prop_assert!(!key.as_bytes().contains(&b' ') && !key.as_bytes().contains(&b'\n'));
        }
    }

    #[test]
    fn the_short_way_for_single_gets_reads_what_the_long_way_reads(
        rest in vec(any::<u8>(), 0..300),
    ) {
        let input = [b"get ", &rest[..], b"\r\n"].concat();
        if let Some((key, len)) = single_get(&input) {
            prop_assert!(input[..len].ends_with(b"\n"));
            let Next::Key(first, end) = next_key(&input[4..]) else {
                panic!("the long way finds no key");
            };
            prop_assert_eq!(first, key);
            prop_assert_eq!(next_key(&input[4 + end..]), Next::End(len - 4 - end));
        }
    }
}

proptest! {
    // Each case makes stores.
    #![proptest_config(Config { cases: 100, failure_persistence: None, ..Config::default() })]

    #[test]
    fn every_way_to_split_the_input_gives_the_same_answers(
        input in stream(),
        cuts in vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> =
            cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = answer(&input, &[]);
        prop_assert_eq!(&whole, &answer(&input, &cuts));
        let all: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(&whole, &answer(&input, &all));
    }
}
