//! The stream of commands that a seed stands for.
//!
//! Few keys, so that commands meet. Families of keys keep known differences apart:
//!
//! | keys | hold | commands |
//! |---|---|---|
//! | `w…` | text up to 2 KiB, small numbers | all, but no arithmetic that shortens |
//! | `n…` | numbers and what looks like them | all but append and prepend |
//! | `b…` | 16 KiB to beyond the largest item | all but arithmetic |
//!
//! Expiry times are never close: gone (negative, or long past), never, or at least 100 s away.
//!
//! `meta` and `binary` make the commands of these protocols; the text connections speak classic and
//! meta commands, the binary ones their own. To add a protocol: give [`Generator::command`] a
//! branch that makes its commands, and `wire` its fence and units.

use crate::allowed::{self, Allowed, BINARY_FAREWELLS, META_ODDITIES, ODDITIES};
use crate::binary::Packet;
use crate::meta::ENCODED;
use crate::support::Random;
use crate::wire;

/// Bytes of an item besides key and value as `-I` counts them: header, CAS, NUL, CRLF.
const ITEM_OVERHEAD: usize = 48 + 8 + 1 + 2;
/// Client flags, where they are not 0.
const ITEM_FLAGS: usize = 4;
/// The default of `-I`.
const ITEM_SIZE_MAX: usize = 1 << 20;

/// One command on its way out.
pub(crate) struct Command {
    pub(crate) parts: Vec<Part>,
    /// The known difference that it provokes.
    pub(crate) allowed: Option<&'static Allowed>,
}

pub(crate) enum Part {
    Bytes(Vec<u8>),
    /// The server's last CAS id of a key; other bits than none make it wrong.
    Cas {
        key: Vec<u8>,
        change: u64,
    },
    Packet(Packet),
}

impl Command {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            parts: vec![Part::Bytes(bytes.into())],
            allowed: None,
        }
    }

    /// Both, as one.
    fn and(mut self, next: Self) -> Self {
        self.parts.extend(next.parts);
        self
    }

    pub(crate) fn show(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Bytes(bytes) => wire::show(bytes),
            Part::Cas { key, change } => format!("<cas of {} ^ {change}>", key.escape_ascii()),
            Part::Packet(packet) => format!(
                "<{:02x} key {} extras {} cas {:?} opaque {}> {}",
                packet.opcode,
                packet.key.escape_ascii(),
                packet.extras.escape_ascii(),
                packet.cas_change,
                packet.opaque,
                wire::show(&packet.value)
            ),
        });
        parts.collect()
    }
}

/// What a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Classic and meta commands.
    Text,
    Binary,
}

pub(crate) enum Batch {
    Fenced(Vec<Command>),
    Open(Vec<Command>),
    Closing(Command),
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Fenced(commands) | Self::Open(commands) => commands.len(),
            Self::Closing(_) => 1,
        }
    }
}

/// Makes the batches of one seed.
pub(crate) struct Generator {
    pub(crate) random: Random,
    /// Whether the peer knows what came after 1.6.18.
    pub(crate) newer: bool,
    /// The opaque of the last packet.
    pub(crate) opaque: u32,
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) numbers: Vec<Vec<u8>>,
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) stale: Vec<Vec<u8>>,
    pub(crate) encoded: Vec<Vec<u8>>,
}

impl Generator {
    pub(crate) fn new(seed: u64, newer: bool) -> Self {
        let named = |prefix: &str, count| -> Vec<Vec<u8>> {
            (0..count)
                .map(|number| format!("{prefix}{number}").into_bytes())
                .collect()
        };
        let mut words = named("w", 10);
        words.push([b'w'; 250].to_vec()); // the longest
        words.push(b"w\x01\t\xff\xfe:\r/".to_vec()); // only space, LF and NUL are special
        Self {
            random: Random::new(seed ^ 0xc0de),
            newer,
            opaque: 0,
            words,
            numbers: named("n", 6),
            bodies: named("b", 3),
            stale: named("s", 5),
            encoded: ENCODED.iter().map(|(key, _)| key.to_vec()).collect(),
        }
    }

    pub(crate) fn batch(&mut self, protocol: Protocol) -> Batch {
        if self.random.one_in(60) {
            return Batch::Closing(match protocol {
                Protocol::Text => Command::new(self.farewell()),
                Protocol::Binary => self.binary_farewell(),
            });
        }
        let fenced = self.random.one_in(2);
        let count = {
            let most = self.random.clone_pick(&[1, 5, 20, 60]);
            1 + self.random.below(most)
        };
        let commands = (0..count).map(|_| self.command(protocol, fenced)).collect();
        if fenced {
            Batch::Fenced(commands)
        } else {
            Batch::Open(commands)
        }
    }

    /// A command; known differences only where its reply can be told from others.
    fn command(&mut self, protocol: Protocol, fenced: bool) -> Command {
        if protocol == Protocol::Binary {
            return self.binary();
        }
        if self.random.one_in(2) {
            return self.meta();
        }
        match self.random.below(100) {
            0..=20 => self.get(),
            21..=30 => self.get_many(),
            31..=35 => self.get_and_touch(),
            36..=65 => self.store(),
            66..=71 => self.compare_and_store(),
            72..=76 => self.delete(),
            77..=85 => self.arithmetic(),
            86..=89 => self.touch(),
            90 => self.administration(),
            91..=92 => self.store_body(),
            93..=94 => self.bad_chunk(),
            95 => self.wide_get(),
            _ => self.oddity(fenced),
        }
    }

    fn get(&mut self) -> Command {
        let verb = self.random.clone_pick(&["get", "gets"]);
        let key = self.any_key();
        Command::new(join(&[verb.as_bytes(), &key]))
    }

    fn get_many(&mut self) -> Command {
        let verb = self.random.clone_pick(&["get", "gets"]);
        let mut words = vec![verb.as_bytes().to_vec()];
        let count = 2 + self.random.below(12);
        words.extend((0..count).map(|_| self.small_key()));
        Command::new(join(&words))
    }

    /// A line longer than what an ordinary command may have.
    fn wide_get(&mut self) -> Command {
        let mut words = vec![b"get".to_vec()];
        let count = 100 + self.random.below(300);
        words.extend((0..count).map(|number| format!("absent-{number}").into_bytes()));
        words.push(self.small_key());
        Command::new(join(&words))
    }

    fn get_and_touch(&mut self) -> Command {
        let verb = self.random.clone_pick(&["gat", "gats"]);
        let mut words = vec![verb.as_bytes().to_vec(), self.exptime()];
        let count = 1 + self.random.below(4);
        words.extend((0..count).map(|_| self.small_key()));
        Command::new(join(&words))
    }

    fn store(&mut self) -> Command {
        if self.random.one_in(4) {
            let verb = self.random.clone_pick(&["set", "set", "add", "replace"]);
            let key = self.pick(|generator| &generator.numbers);
            let value = self.number_like();
            return self.storage(verb, &key, &value);
        }
        if self.random.one_in(8) {
            let verb = self.random.clone_pick(&["set", "set", "add", "replace"]);
            let key = self.pick(|generator| &generator.stale);
            let value = self.text(0);
            return self.storage(verb, &key, &value);
        }
        let verbs = ["set", "set", "set", "add", "replace", "append", "prepend"];
        let verb = self.random.clone_pick(&verbs);
        let key = self.pick(|generator| &generator.words);
        let value = self.text(0);
        self.storage(verb, &key, &value)
    }

    fn store_body(&mut self) -> Command {
        let verbs = [
            "set", "set", "add", "replace", "append", "prepend", "get", "delete",
        ];
        let verb = self.random.clone_pick(&verbs);
        let key = self.pick(|generator| &generator.bodies);
        if ["get", "delete"].contains(&verb) {
            return Command::new(join(&[verb.as_bytes(), &key]));
        }
        let limit = ITEM_SIZE_MAX - ITEM_OVERHEAD - key.len();
        let length = match self.random.below(20) {
            // The longest that fits memcached whatever the flags, and the shortest too long for us.
            0 | 2 => limit - ITEM_FLAGS,
            1 | 3 => ITEM_SIZE_MAX + 1,
            4 => limit + (100 << 10),
            5..=8 => 100 << 10,
            _ => (16 << 10) + self.random.below(4096),
        };
        let value = self.bytes(length);
        self.storage(verb, &key, &value)
    }

    fn storage(&mut self, verb: &str, key: &[u8], value: &[u8]) -> Command {
        let length = value.len().to_string();
        let mut words = vec![
            verb.into(),
            key.to_vec(),
            self.flags(),
            self.stored_exptime(),
        ];
        words.push(length.into_bytes());
        words.extend(self.noreply());
        let mut bytes = self.spaced(&words);
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
        Command::new(bytes)
    }

    fn compare_and_store(&mut self) -> Command {
        let key = self.small_key();
        let number = key.starts_with(b"n");
        let value = if number {
            self.number_like()
        } else {
            self.text(0)
        };
        let length = value.len().to_string().into_bytes();
        let line = [
            b"cas".to_vec(),
            key.clone(),
            self.flags(),
            self.stored_exptime(),
            length,
        ];
        let mut head = line.join(&b' ');
        head.push(b' ');
        let change = *self.random.pick(&[0, 0, 0, 1 << 60]);
        let mut tail = self
            .noreply()
            .map_or(vec![], |word| [b" ".to_vec(), word].concat());
        tail.extend_from_slice(b"\r\n");
        tail.extend_from_slice(&value);
        tail.extend_from_slice(b"\r\n");
        let parts = vec![
            Part::Bytes(head),
            Part::Cas { key, change },
            Part::Bytes(tail),
        ];
        Command {
            parts,
            allowed: None,
        }
    }

    fn delete(&mut self) -> Command {
        let mut words = vec![b"delete".to_vec(), self.any_key()];
        words.extend(self.random.one_in(8).then(|| b"0".to_vec()));
        words.extend(self.noreply());
        Command::new(self.spaced(&words))
    }

    /// Sums stay below 2^63, but for one that begins low and goes all the way round.
    fn arithmetic(&mut self) -> Command {
        let key = self.small_key();
        if !key.starts_with(b"n") {
            let delta = self.random.next() % 1000;
            return self.count("incr", &key, delta);
        }
        if self.random.one_in(12) {
            let delta = u64::MAX - self.random.next() % 999_999;
            let before = self.storage("set", &key, b"1000000");
            return before.and(self.count("incr", &key, delta));
        }
        let delta = match self.random.below(4) {
            0 => 0,
            1 => 1,
            2 => self.random.next() % 1000,
            _ => self.random.next() >> 24,
        };
        if self.random.one_in(2) {
            return self.count("incr", &key, delta);
        }
        let most = if self.random.one_in(8) {
            u64::MAX
        } else {
            delta
        };
        self.count("decr", &key, most)
    }

    fn count(&mut self, verb: &str, key: &[u8], delta: u64) -> Command {
        let mut words = vec![verb.into(), key.to_vec(), delta.to_string().into_bytes()];
        words.extend(self.noreply());
        Command::new(self.spaced(&words))
    }

    fn touch(&mut self) -> Command {
        let mut words = vec![b"touch".to_vec(), self.any_key(), self.exptime()];
        words.extend(self.noreply());
        Command::new(self.spaced(&words))
    }

    /// Delayed flushes are not among them: in memcached one brings back what an earlier flush
    /// took and nobody has asked for since.
    fn administration(&mut self) -> Command {
        let lines: [&[u8]; 10] = [
            b"version\r\n",
            b"version\n",
            b"verbosity 0\r\n",
            b"verbosity 0\n",
            b"verbosity 0 noreply\r\n",
            b"flush_all\r\n",
            b"flush_all 0\r\n",
            b"flush_all -1\r\n",
            b"flush_all noreply\r\n",
            b"flush_all 0 noreply\r\n",
        ];
        // Flushes come last; newer peers get none, see `allowed`.
        let count = if self.newer { 5 } else { lines.len() };
        Command::new(*self.random.pick(&lines[..count]))
    }

    /// A value that is not followed by the end of a line. Exactly its length and two bytes are
    /// used up; the rest is a command that does not exist.
    fn bad_chunk(&mut self) -> Command {
        let verb = self
            .random
            .clone_pick(&["set", "add", "replace", "append", "prepend"]);
        let key = self.small_key();
        let value = self.text(4);
        let short = value.len() - 1 - self.random.below(3);
        let mut words = vec![verb.into(), key, b"0".to_vec(), b"0".to_vec()];
        words.push(short.to_string().into_bytes());
        words.extend(self.noreply());
        let mut bytes = join(&words);
        bytes.extend(
            value
                .iter()
                .map(|byte| if *byte == b'\n' { b'_' } else { *byte }),
        );
        bytes.extend_from_slice(b"junk\r\n");
        Command::new(bytes)
    }

    fn oddity(&mut self, fenced: bool) -> Command {
        loop {
            let list = self.random.clone_pick(&[ODDITIES, META_ODDITIES]);
            let oddity = self.random.pick(list);
            if fenced || !oddity.alone {
                let lines: Vec<&str> = oddity.sent.split('|').collect();
                let line: &str = self.random.clone_pick(&lines);
                let sent = allowed::expand(line);
                let parts = vec![Part::Bytes(sent)];
                return Command {
                    parts,
                    allowed: fenced.then_some(oddity),
                };
            }
        }
    }

    /// Input after which the server hangs up.
    fn farewell(&mut self) -> Vec<u8> {
        let key = self.small_key();
        match self.random.below(5) {
            0 => b"quit\r\n".to_vec(),
            1 => [join(&[b"get", &key[..]]), b"quit\r\n".to_vec()].concat(),
            2 => [b"quit\r\n".to_vec(), join(&[b"delete", &key[..]])].concat(),
            3 => b"GET / HTTP/1.1\r\n".to_vec(),
            _ => vec![b'x'; 3000], // no command is so long
        }
    }

    fn binary_farewell(&mut self) -> Command {
        let oddity = self.random.pick(BINARY_FAREWELLS);
        let inputs: Vec<&str> = oddity.sent.split('|').collect();
        let sent: &str = self.random.clone_pick(&inputs);
        Command {
            parts: vec![Part::Bytes(allowed::expand_packets(sent))],
            allowed: Some(oddity),
        }
    }

    // ---- Ingredients -------------------------------------------------------------------------

    pub(crate) fn pick(&mut self, family: impl Fn(&Self) -> &Vec<Vec<u8>>) -> Vec<u8> {
        let at = self.random.below(family(self).len());
        family(self)[at].clone()
    }

    pub(crate) fn small_key(&mut self) -> Vec<u8> {
        if self.random.one_in(3) {
            self.pick(|generator| &generator.numbers)
        } else {
            self.pick(|generator| &generator.words)
        }
    }

    pub(crate) fn any_key(&mut self) -> Vec<u8> {
        match self.random.below(40) {
            0 => self.pick(|generator| &generator.bodies),
            1..=4 => self.pick(|generator| &generator.stale),
            5 => self.pick(|generator| &generator.encoded),
            _ => self.small_key(),
        }
    }

    fn flags(&mut self) -> Vec<u8> {
        let flags = ["0", "0", "0", "1", "5", "65535", "4294967295", "007", "+3"];
        self.random.clone_pick(&flags).into()
    }

    pub(crate) fn exptime(&mut self) -> Vec<u8> {
        let times = [
            "0",
            "0",
            "0",
            "0",
            "0",
            "0",
            "100",
            "1000",
            "2592000",
            "2000000000",
            "2147483647",
            "-1",
            "-2147483648",
            "2592001",
        ];
        self.random.clone_pick(&times).into()
    }

    /// Where 1.6.45, too, takes a negative number without its sign.
    fn stored_exptime(&mut self) -> Vec<u8> {
        let wrapped = ["4294967295", "3221225472"];
        match self.random.below(16) {
            number @ ..2 => wrapped[number].into(),
            _ => self.exptime(),
        }
    }

    fn noreply(&mut self) -> Option<Vec<u8>> {
        self.random.one_in(6).then(|| b"noreply".to_vec())
    }

    /// Text that begins with a letter, or a number that begins with no zero: however they are
    /// joined, arithmetic on them never makes them shorter.
    pub(crate) fn text(&mut self, length_min: usize) -> Vec<u8> {
        if length_min == 0 && self.random.one_in(5) {
            return (1 + self.random.below(9999)).to_string().into_bytes();
        }
        let length = match self.random.below(20) {
            0 => 0,
            1 => 1,
            2..=13 => 2 + self.random.below(60),
            14..=17 => self.random.below(600),
            18 => 1500 + self.random.below(548),
            _ => 2048,
        };
        let mut text = self.bytes(length.max(length_min));
        if let Some(first) = text.first_mut() {
            *first = b'a' + *first % 26;
        }
        text
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let plain = self.random.one_in(2);
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.random.next().to_le_bytes());
        }
        bytes.truncate(length);
        if plain {
            bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
        } else if length > 20 {
            bytes[3..20].copy_from_slice(b"\r\nEND\r\nget w0 \r\nq"); // looks like replies
        }
        bytes
    }

    pub(crate) fn number_like(&mut self) -> Vec<u8> {
        let fixed = [
            "",
            "0",
            "1",
            "9",
            "10",
            "99",
            "100",
            "007",
            " 7",
            "7 ",
            "-1",
            "+5",
            "abc",
            "5 x",
            "1.5",
            "18446744073709551616",
            "00000000000000000000000000000018",
            "9999999999",
        ];
        if self.random.one_in(3) {
            return (self.random.next() >> 2).to_string().into_bytes();
        }
        self.random.clone_pick(&fixed).into()
    }

    /// A line, now and then with more spaces than needed or without its CR.
    fn spaced(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let mut line = vec![];
        for (position, word) in words.iter().enumerate() {
            let more = if self.random.one_in(30) { 2 } else { 0 };
            let spaces = if position == 0 { 0 } else { 1 + more };
            line.extend(std::iter::repeat_n(b' ', spaces));
            line.extend_from_slice(word);
        }
        let ends: [&[u8]; 3] = [b"\n", b" \r\n", b"  \n"];
        let end = if self.random.one_in(15) {
            *self.random.pick(&ends)
        } else {
            b"\r\n"
        };
        line.extend_from_slice(end);
        line
    }
}

impl Random {
    pub(crate) fn clone_pick<T: Clone>(&mut self, choices: &[T]) -> T {
        self.pick(choices).clone()
    }
}

pub(crate) fn join<Word: AsRef<[u8]>>(words: &[Word]) -> Vec<u8> {
    let mut line = words
        .iter()
        .map(AsRef::as_ref)
        .collect::<Vec<_>>()
        .join(&b' ');
    line.extend_from_slice(b"\r\n");
    line
}

#[test]
fn a_seed_always_stands_for_the_same_commands() {
    let show = |seed| {
        let mut generator = Generator::new(seed, true);
        let mut text = String::new();
        for number in 0..100 {
            let protocol = [Protocol::Text, Protocol::Binary][number % 2];
            match generator.batch(protocol) {
                Batch::Fenced(commands) | Batch::Open(commands) => {
                    text.extend(commands.iter().map(Command::show));
                }
                Batch::Closing(command) => text.push_str(&command.show()),
            }
        }
        text
    };
    assert!(show(7) == show(7));
    assert!(show(7) != show(8));
}
