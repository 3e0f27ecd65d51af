//! Meta commands of the stream.
//!
//! The families of keys of the classic commands, and two more:
//!
//! | keys | hold | commands |
//! |---|---|---|
//! | `s…` | small text; may be stale, won, vivified | all but what appends or counts |
//! | [`ENCODED`] | small text, stored under base64 or plain keys | the same, but no vivifying |
//!
//! What 1.6.18 does not know (`E`, `x`, `C` of `mg`, `s` of `ms`) is made for newer peers only.

use crate::commands::{Command, Generator, Part, join};

/// Keys that are also sent as base64.
pub(crate) const ENCODED: [(&[u8], &[u8]); 3] = [
    (b"six", b"c2l4"),
    (b"four", b"Zm91cg=="),
    (b"\xff\xfe\xfd", b"//79"),
];

/// CAS ids from here on are not the servers' own: they were asked for.
pub(crate) const EXPLICIT_CAS: u64 = 1 << 40;

/// Flags under way: a line is made of pieces, because CAS ids are known only when it is sent.
struct Line {
    parts: Vec<Part>,
    bytes: Vec<u8>,
}

impl Line {
    fn new(words: &[&[u8]]) -> Self {
        Self {
            parts: vec![],
            bytes: words.join(&b' '),
        }
    }

    fn flag(&mut self, flag: impl AsRef<[u8]>) {
        self.bytes.push(b' ');
        self.bytes.extend_from_slice(flag.as_ref());
    }

    fn cas(&mut self, key: &[u8], change: u64) {
        self.bytes.extend_from_slice(b" C");
        self.parts
            .push(Part::Bytes(std::mem::take(&mut self.bytes)));
        let key = key.to_vec();
        self.parts.push(Part::Cas { key, change });
    }

    fn end(mut self, value: Option<&[u8]>) -> Command {
        self.bytes.extend_from_slice(b"\r\n");
        if let Some(value) = value {
            self.bytes.extend_from_slice(value);
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.parts.push(Part::Bytes(self.bytes));
        Command {
            parts: self.parts,
            allowed: None,
        }
    }
}

/// A key as it is called and as it is sent.
struct MetaKey {
    key: Vec<u8>,
    sent: Vec<u8>,
    encoded: bool,
}

impl MetaKey {
    fn is(&self, family: u8) -> bool {
        self.key.starts_with(&[family])
    }

    /// Whether the item may have marks: then nothing appends to it or counts it.
    fn is_marked(&self) -> bool {
        !self.is(b'w') && !self.is(b'n') && !self.is(b'b')
    }
}

impl Generator {
    pub(crate) fn meta(&mut self) -> Command {
        match self.random.below(20) {
            0..=7 => self.meta_get(),
            8..=12 => self.meta_set(),
            13..=14 => self.meta_delete(),
            15..=17 => self.meta_arithmetic(),
            18 => self.meta_debug(),
            _ => self.recaching(),
        }
    }

    fn meta_key(&mut self) -> MetaKey {
        let plain = |key: Vec<u8>| MetaKey {
            sent: key.clone(),
            key,
            encoded: false,
        };
        match self.random.below(10) {
            0..=3 => plain(self.plain_key()),
            4..=8 => plain(self.pick(|generator| &generator.stale)),
            _ => {
                let (key, code) = *self.random.pick(&ENCODED);
                if self.random.one_in(3) {
                    return plain(key.to_vec());
                }
                MetaKey {
                    key: key.to_vec(),
                    sent: code.to_vec(),
                    encoded: true,
                }
            }
        }
    }

    /// Keys with CR are left out: we send them back as base64.
    fn plain_key(&mut self) -> Vec<u8> {
        loop {
            let key = self.small_key();
            if !key.contains(&b'\r') {
                return key;
            }
        }
    }

    /// What is counted: most often a number.
    fn counter(&mut self) -> MetaKey {
        let key = loop {
            let key = self.plain_key();
            if key.starts_with(b"n") || self.random.one_in(4) {
                break key;
            }
        };
        MetaKey {
            sent: key.clone(),
            key,
            encoded: false,
        }
    }

    fn meta_line(&mut self, verb: &[u8], key: &MetaKey, length: Option<usize>) -> Line {
        let mut words = vec![verb, &key.sent];
        let length = length.map(|length| length.to_string().into_bytes());
        words.extend(length.as_deref());
        let mut line = Line::new(&words);
        if key.encoded {
            line.flag(b"b");
        }
        line
    }

    fn meta_get(&mut self) -> Command {
        let key = self.meta_key();
        let mut line = self.meta_line(b"mg", &key, None);
        let mut letters: Vec<&[u8]> = vec![b"v", b"f", b"c", b"t", b"h", b"l", b"s", b"u", b"q"];
        if !key.is_marked() {
            // Counting makes an item unfetched: in memcached only if it moves.
            letters.retain(|letter| *letter != b"h");
        }
        let at = self.random.below(letters.len());
        letters.rotate_left(at);
        let mut with_key = self.random.one_in(2);
        for letter in letters {
            if self.random.one_in(3) {
                line.flag(letter);
                // The masks of `n…` keys, and what learns CAS ids, need the key in the reply.
                with_key |= [&b"v"[..], b"c", b"s"].contains(&letter);
            }
        }
        if with_key {
            line.flag(b"k");
        }
        self.opaque(&mut line);
        // Of `T` and `N` together memcached obeys the last.
        if self.random.one_in(6) {
            self.later_ttl(&mut line);
        } else if key.is_marked() && !key.encoded {
            self.recache_flags(&mut line, &key.key);
        }
        if self.newer && self.random.one_in(8) {
            line.cas(&key.key, 0);
        }
        line.end(None)
    }

    /// Vivifying under base64 is left out: memcached forgets that the key was encoded.
    fn recache_flags(&mut self, line: &mut Line, key: &[u8]) {
        let encodable = ENCODED.iter().any(|(name, _)| *name == key);
        if !encodable && self.random.one_in(4) {
            line.flag(self.random.clone_pick(&["N0", "N100", "N1000"]));
        }
        if self.random.one_in(4) {
            line.flag(self.random.clone_pick(&["R30", "R500", "R5000", "R0"]));
        }
    }

    /// Not in the past: what `t` then shows is, in memcached, a small negative number without sign.
    fn later_ttl(&mut self, line: &mut Line) {
        let flags = ["T0", "T100", "T1000", "T2592000", "T2000000000"];
        line.flag(self.random.clone_pick(&flags));
    }

    fn opaque(&mut self, line: &mut Line) {
        if self.random.one_in(4) {
            let length = self.random.clone_pick(&[0, 1, 5, 31]);
            line.flag(format!("O{}", "x".repeat(length)));
        }
    }

    fn meta_set(&mut self) -> Command {
        let key = self.meta_key();
        let value = if key.is(b'n') {
            self.number_like()
        } else {
            self.text(0)
        };
        let mut line = self.meta_line(b"ms", &key, Some(value.len()));
        let mut modes = vec!["", "", "", "MS", "ME", "MR"];
        if key.is(b'w') {
            modes.extend(["MA", "MP", "MA", "MP"]);
        }
        let mode = self.random.clone_pick(&modes);
        if !mode.is_empty() {
            line.flag(mode);
        }
        if self.random.one_in(2) {
            line.flag([b"T", &self.exptime()[..]].concat());
        }
        if self.random.one_in(3) {
            line.flag(self.random.clone_pick(&["F0", "F5", "F4294967295", "F007"]));
        }
        // 1.6.18 creates something only now and then.
        if self.newer && ["MA", "MP"].contains(&mode) && self.random.one_in(3) {
            line.flag(self.random.clone_pick(&["N0", "N100"]));
        } else {
            self.invalidation(&mut line, &key, b"I");
        }
        self.told_cas(&mut line);
        if self.newer && !key.is(b'n') && self.random.one_in(4) {
            line.flag(b"s");
        }
        self.reflected(&mut line, true);
        line.end(Some(&value))
    }

    /// A condition on the CAS id, and with it or without `flag`, which items with marks take.
    fn invalidation(&mut self, line: &mut Line, key: &MetaKey, flag: &[u8]) {
        if self.random.one_in(3) {
            match self.random.below(8) {
                0 => line.flag(b"C1"),
                1 => line.flag(b"C0"),
                2 => line.cas(&key.key, 1 << 60),
                _ => line.cas(&key.key, 0),
            }
        }
        if key.is_marked() && self.random.one_in(3) {
            line.flag(flag);
        }
    }

    fn told_cas(&mut self, line: &mut Line) {
        if self.newer && self.random.one_in(6) {
            let cas = EXPLICIT_CAS + self.random.next() % 8;
            line.flag(format!("E{cas}"));
        }
    }

    fn reflected(&mut self, line: &mut Line, with_cas: bool) {
        let with_cas = with_cas && self.random.one_in(3);
        if with_cas {
            line.flag(b"c");
        }
        if with_cas || self.random.one_in(4) {
            line.flag(b"k");
        }
        self.opaque(line);
        if self.random.one_in(6) {
            line.flag(b"q");
        }
    }

    fn meta_delete(&mut self) -> Command {
        let key = self.meta_key();
        let mut line = self.meta_line(b"md", &key, None);
        self.invalidation(&mut line, &key, b"I");
        if line.bytes.ends_with(b" I") {
            if self.random.one_in(2) {
                line.flag([b"T", &self.exptime()[..]].concat());
            }
        } else if self.newer && key.is(b'w') && self.random.one_in(2) {
            line.flag(b"x");
            if self.random.one_in(2) {
                line.flag(b"F9");
            }
        }
        self.reflected(&mut line, false);
        line.end(None)
    }

    /// Under the limits of the classic arithmetic.
    fn meta_arithmetic(&mut self) -> Command {
        let key = self.counter();
        let number = key.is(b'n');
        let mut line = self.meta_line(b"ma", &key, None);
        if number && self.random.one_in(3) {
            line.flag(self.random.clone_pick(&["MD", "M-", "Md"]));
        } else if self.random.one_in(3) {
            line.flag(self.random.clone_pick(&["MI", "M+", "Mi"]));
        }
        if self.random.one_in(2) {
            line.flag(format!("D{}", self.random.next() % 1000));
        }
        let creates = self.random.one_in(3);
        if creates {
            line.flag(self.random.clone_pick(&["N0", "N100"]));
            // A word that began with 0 would get shorter by counting.
            if !number || self.random.one_in(2) {
                line.flag(format!("J{}", 1 + (self.random.next() >> 34)));
            }
        }
        for letter in [b"v", b"t"] {
            if self.random.one_in(2) {
                line.flag(letter);
            }
        }
        if self.random.one_in(5) {
            let change = self.random.clone_pick(&[0, 0, 1 << 60]);
            line.cas(&key.key, change);
        }
        // 1.6.18 answers what has been created, however quiet.
        self.reflected(&mut line, true);
        if creates && !self.newer && line.bytes.ends_with(b" q") {
            line.bytes.truncate(line.bytes.len() - 2);
        }
        line.end(None)
    }

    fn meta_debug(&mut self) -> Command {
        // Other keys show whether they were fetched since they were counted, and 1.6.18 shows a key
        // as base64 without saying so.
        let key = self.pick(|generator| &generator.stale);
        Command::new(join(&[b"me", &key[..]]))
    }

    /// Many clients meet a missing or stale item: one wins, the others wait, the winner stores.
    fn recaching(&mut self) -> Command {
        let key = self.pick(|generator| &generator.stale);
        let get = [
            b"mg ".to_vec(),
            key.clone(),
            b" v c k N100 R30\r\n".to_vec(),
        ]
        .concat();
        let lines = match self.random.below(3) {
            0 => vec![join(&[b"delete", &key[..]]), get.clone(), get.clone(), get],
            1 => {
                let invalidate = [b"md ".to_vec(), key.clone(), b" I T100\r\n".to_vec()].concat();
                vec![invalidate, get.clone(), get]
            }
            _ => {
                let store = [b"ms ".to_vec(), key.clone(), b" 2 T100\r\nab\r\n".to_vec()].concat();
                vec![get.clone(), store, get]
            }
        };
        Command::new(lines.concat())
    }
}

/// What base64 stands for; nothing if it is not base64.
pub(crate) fn decoded(code: &[u8]) -> Option<&'static [u8]> {
    let (key, _) = ENCODED.iter().find(|(_, sent)| *sent == code)?;
    Some(key)
}
