//! Which keys a load asks for and which value belongs to each.
//!
//! A key is its number in hexadecimal after a letter that says whether it was ever stored: `k` for
//! keys that prefilling writes, `m` for keys that nobody writes. A value is a piece of one random
//! text; the key's number decides where the piece begins and how long it is. So any reply can be
//! checked without remembering what was stored: a wrong value passes once in 65,536 times.

use crate::random::{Random, Zipf, mix, normal};
use std::fmt::{Display, Formatter};

/// Digits of a key at most: 4 billion keys are more than a benchmark fills a server with.
const DIGITS_MAX: usize = 8;

/// Places in the text where a value may begin.
const BEGINNINGS: u64 = 1 << 16;

/// The longest value of a distribution: well within what servers take by default.
const LOGNORMAL_MAX: usize = 512 << 10;

/// The longest key that servers take.
pub(crate) const KEY_SIZE_MAX: usize = 250;

/// A key of the load: its number, and whether it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyId(u64);

impl KeyId {
    const ABSENT: u64 = 1 << 63;

    pub(crate) fn present(number: u64) -> Self {
        Self(number)
    }

    pub(crate) fn absent(number: u64) -> Self {
        Self(number | Self::ABSENT)
    }

    pub(crate) fn exists(self) -> bool {
        self.0 & Self::ABSENT == 0
    }
}

/// How long values are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ValueSize {
    /// All the same.
    Fixed(usize),
    /// Equally likely from the first to the second.
    Range(usize, usize),
    /// Lognormal by median and the deviation of the logarithm.
    Lognormal {
        /// Half of all values are shorter.
        median: f64,
        /// Deviation of the natural logarithm.
        sigma: f64,
    },
}

impl ValueSize {
    fn of(&self, seed: u64) -> usize {
        match *self {
            Self::Fixed(len) => len,
            Self::Range(from, to) => {
                from + Random::new(seed).below((to - from + 1) as u64) as usize
            }
            Self::Lognormal { median, sigma } => {
                let len = median * (sigma * normal(seed)).exp();
                (len as usize).clamp(1, LOGNORMAL_MAX)
            }
        }
    }

    fn max(&self) -> usize {
        match *self {
            Self::Fixed(len) | Self::Range(_, len) => len,
            Self::Lognormal { .. } => LOGNORMAL_MAX,
        }
    }

    /// A usual length, for choosing how much to send at once.
    pub(crate) fn typical(&self) -> usize {
        match *self {
            Self::Fixed(len) => len,
            Self::Range(from, to) => from.midpoint(to),
            Self::Lognormal { median, sigma } => (median * (sigma * sigma / 2.0).exp()) as usize,
        }
    }
}

impl Display for ValueSize {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Fixed(len) => write!(out, "{len} B"),
            Self::Range(from, to) => write!(out, "{from} to {to} B"),
            Self::Lognormal { median, sigma } => {
                write!(out, "{median} B at the median (lognormal, sigma {sigma})")
            }
        }
    }
}

/// Keys and values of one load, shared by all threads.
#[derive(Debug)]
pub(crate) struct Content {
    key_size: usize,
    value_size: ValueSize,
    text: Vec<u8>,
}

impl Content {
    pub(crate) fn new(key_size: usize, value_size: ValueSize) -> Self {
        assert!((2..=KEY_SIZE_MAX).contains(&key_size), "no such key");
        let mut random = Random::new(0x6e75_7468);
        let len = BEGINNINGS as usize + value_size.max();
        let text = (0..len).map(|_| b'a' + random.below(26) as u8).collect();
        Self {
            key_size,
            value_size,
            text,
        }
    }

    /// The number of keys that keys of this size can tell apart.
    pub(crate) fn keys_max(key_size: usize) -> u64 {
        1 << (4 * (key_size - 1).min(DIGITS_MAX))
    }

    /// Writes the key's bytes into `buffer` and returns them.
    #[inline]
    pub(crate) fn key<'b>(&self, id: KeyId, buffer: &'b mut [u8; KEY_SIZE_MAX]) -> &'b [u8] {
        let letter = if id.exists() { b'k' } else { b'm' };
        let digits = hexadecimal(id.0 as u32);
        let count = (self.key_size - 1).min(DIGITS_MAX);
        let (head, tail) = buffer[..self.key_size].split_at_mut(self.key_size - count);
        head.fill(letter);
        tail.copy_from_slice(&digits[DIGITS_MAX - count..]);
        &buffer[..self.key_size]
    }

    /// The value that belongs to a key.
    #[inline]
    pub(crate) fn value(&self, id: KeyId) -> &[u8] {
        let seed = mix(id.0.wrapping_add(1));
        let from = (seed % BEGINNINGS) as usize;
        &self.text[from..from + self.value_size.of(seed)]
    }
}

/// Eight digits at once: the nibbles are spread to bytes, then moved to `0..9` and `a..f`.
#[inline]
fn hexadecimal(number: u32) -> [u8; DIGITS_MAX] {
    let wide = u64::from(number);
    let wide = (wide | wide << 16) & 0x0000_ffff_0000_ffff;
    let wide = (wide | wide << 8) & 0x00ff_00ff_00ff_00ff;
    let wide = (wide | wide << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // Adding six carries into bit 4 exactly for the nibbles from ten on.
    let letters = ((wide + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (wide + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// How the next key is chosen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Choice {
    /// Every key as often as any other.
    Uniform,
    /// By Zipf's law with this exponent; low numbers are the popular ones.
    Zipf(f64),
    /// In turn.
    Sequential,
}

impl Display for Choice {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Uniform => out.write_str("chosen evenly"),
            Self::Zipf(exponent) => write!(out, "chosen by Zipf's law (exponent {exponent})"),
            Self::Sequential => out.write_str("in order"),
        }
    }
}

/// One thread's choice of keys.
#[derive(Debug)]
pub(crate) struct Chooser {
    random: Random,
    keys: u64,
    way: Way,
    /// Below this, of 2^32, a get asks for a key that exists.
    hit_bound: u64,
}

#[derive(Debug)]
enum Way {
    Uniform,
    Zipf(Zipf),
    Sequential { next: u64, step: u64 },
}

/// Which of the threads this is: each walks over its own part of a sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) index: usize,
    pub(crate) of: usize,
}

impl Part {
    /// This part's share of `total` things; the shares add up.
    pub(crate) fn share(self, total: u64) -> u64 {
        let of = self.of as u64;
        total / of + u64::from((self.index as u64) < total % of)
    }
}

impl Chooser {
    pub(crate) fn new(
        choice: &Choice,
        keys: u64,
        hit_ratio: f64,
        (part, seed): (Part, u64),
    ) -> Self {
        let way = match *choice {
            Choice::Uniform => Way::Uniform,
            Choice::Zipf(exponent) => Way::Zipf(Zipf::new(keys, exponent)),
            Choice::Sequential => Way::Sequential {
                next: part.index as u64,
                step: part.of as u64,
            },
        };
        Self {
            random: Random::new(seed ^ (part.index as u64) << 32),
            keys,
            way,
            hit_bound: (hit_ratio * (1u64 << 32) as f64) as u64,
        }
    }

    /// A key to set.
    #[inline]
    pub(crate) fn stored_key(&mut self) -> KeyId {
        KeyId::present(self.number())
    }

    /// A key to ask for: the load's share of them exists.
    #[inline]
    pub(crate) fn wanted_key(&mut self) -> KeyId {
        let number = self.number();
        if self.hit_bound >> 32 == 0 && self.random.next() >> 32 >= self.hit_bound {
            return KeyId::absent(number);
        }
        KeyId::present(number)
    }

    /// True with probability `share`.
    #[inline]
    pub(crate) fn toss(&mut self, share: f64) -> bool {
        self.random.unit() < share
    }

    #[inline]
    fn number(&mut self) -> u64 {
        match &mut self.way {
            Way::Uniform => self.random.below(self.keys),
            Way::Zipf(zipf) => zipf.sample(&mut self.random),
            Way::Sequential { next, step } => {
                let number = *next % self.keys;
                *next += *step;
                number
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(size: usize, id: KeyId) -> String {
        let content = Content::new(size, ValueSize::Fixed(1));
        let mut buffer = [0; KEY_SIZE_MAX];
        String::from_utf8(content.key(id, &mut buffer).to_vec()).unwrap()
    }

    #[test]
    fn keys_are_padded_hexadecimal_numbers() {
        assert_eq!(key_of(16, KeyId::present(0xbeef)), "kkkkkkkk0000beef");
        assert_eq!(key_of(9, KeyId::absent(u64::from(u32::MAX))), "mffffffff");
        assert_eq!(key_of(3, KeyId::present(0xa5)), "ka5");
        assert_eq!(key_of(250, KeyId::present(1)).len(), 250);
        for number in [0, 9, 10, 0x0123_4567, 0x89ab_cdef] {
            let expected = format!("{number:08x}");
            assert_eq!(hexadecimal(number), expected.as_bytes());
        }
    }

    #[test]
    fn a_value_is_the_same_each_time_and_unlike_its_neighbours() {
        let content = Content::new(16, ValueSize::Range(10, 20));
        let values: Vec<&[u8]> = (0..100).map(|n| content.value(KeyId::present(n))).collect();
        for (number, value) in values.iter().enumerate() {
            assert_eq!(*value, content.value(KeyId::present(number as u64)));
            assert!((10..=20).contains(&value.len()));
            let equal = values.iter().filter(|other| *other == value).count();
            assert_eq!(equal, 1, "{number}");
        }
    }

    #[test]
    fn lognormal_lengths_have_their_median() {
        let content = Content::new(
            16,
            ValueSize::Lognormal {
                median: 200.0,
                sigma: 1.0,
            },
        );
        let shorter = (0..10_000)
            .filter(|&n| content.value(KeyId::present(n)).len() < 200)
            .count();
        assert!((4800..5200).contains(&shorter), "{shorter}");
    }

    #[test]
    fn sequences_of_all_threads_cover_every_key_once() {
        let mut seen = vec![0; 10];
        for index in 0..3 {
            let part = Part { index, of: 3 };
            let mut chooser = Chooser::new(&Choice::Sequential, 10, 1.0, (part, 1));
            for _ in 0..part.share(10) {
                seen[chooser.stored_key().0 as usize] += 1;
            }
        }
        assert_eq!(seen, [1; 10]);
    }

    #[test]
    fn the_share_of_keys_that_exist_is_kept() {
        let part = Part { index: 0, of: 1 };
        for (ratio, range) in [(0.0, 0..=0), (0.8, 7800..=8200), (1.0, 10_000..=10_000)] {
            let mut chooser = Chooser::new(&Choice::Uniform, 100, ratio, (part, 1));
            let found = (0..10_000)
                .filter(|_| chooser.wanted_key().exists())
                .count();
            assert!(range.contains(&found), "{ratio}: {found}");
        }
    }
}
