//! Binary requests and replies in words: `set flags=7 exptime=0 key=k value=hello`.
//!
//! First the name of the opcode, or its number in hexadecimal. Then, as far as they are there:
//! `status=` (hexadecimal) and `cas=` of the header; the extras `flags=`, `delta=`, `initial=` and
//! `exptime=` in the order of the wire; `key=`; and `value=`, which is the rest of the line, or
//! `number=`, a value of eight bytes. What a reply is not said to have it must not have; only a CAS
//! id may have any value where none is given.

use crate::unescape;
use nuthatch::protocol::binary::{HEADER_LEN, MAGIC_REQUEST, MAGIC_RESPONSE, RequestHeader};

const OPAQUE: u32 = 0xfeed_beef; // of every request, and so of every reply

/// The names of the opcodes from 0 on; those without one have their number.
const NAMES: &str = "get set add replace delete incr decr quit flush getq noop version getk getkq \
    append prepend stat setq addq replaceq deleteq incrq decrq quitq flushq appendq prependq 1b \
    touch gat gatq 1f mechanisms auth step gatk gatkq";

/// A packet as it is written in a transcript.
#[derive(Default)]
pub(crate) struct Packet {
    opcode: u8,
    status: u16,
    cas: Option<u64>,
    extras: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Packet {
    pub(crate) fn parse(line: &str) -> Self {
        let (line, value) = line.split_once(" value=").unwrap_or((line, ""));
        let mut words = line.split(' ');
        let mut packet = Self {
            opcode: opcode(words.next().unwrap()),
            value: unescape(value),
            ..Self::default()
        };
        for word in words {
            let (name, text) = word.split_once('=').unwrap();
            packet.field(name, text);
        }
        packet
    }

    fn field(&mut self, name: &str, text: &str) {
        let number = || text.parse::<i64>().unwrap_or_else(|_| panic!("{text}?"));
        let wide = || text.parse::<u64>().unwrap_or_else(|_| panic!("{text}?"));
        match name {
            "status" => self.status = u16::from_str_radix(text, 16).unwrap(),
            "cas" => self.cas = Some(wide()),
            "flags" | "exptime" => self.extras.extend((number() as u32).to_be_bytes()),
            "delta" | "initial" => self.extras.extend(wide().to_be_bytes()),
            "key" => self.key = unescape(text),
            "number" => self.value = wide().to_be_bytes().into(),
            _ => panic!("no field: {name}"),
        }
    }

    pub(crate) fn request(&self) -> Vec<u8> {
        self.bytes(MAGIC_REQUEST, self.cas.unwrap_or(0))
    }

    /// The bytes of this reply, with the CAS id of the reply that came where none is given.
    pub(crate) fn reply(&self, came: &[u8]) -> Vec<u8> {
        let any = RequestHeader::read(came).map_or(0, |header| header.cas);
        let mut bytes = self.bytes(MAGIC_RESPONSE, self.cas.unwrap_or(any));
        bytes[6..8].copy_from_slice(&self.status.to_be_bytes());
        bytes
    }

    fn bytes(&self, magic: u8, cas: u64) -> Vec<u8> {
        let body = [&self.extras[..], &self.key, &self.value].concat();
        let header = RequestHeader {
            magic,
            opcode: self.opcode,
            key_len: self.key.len() as u16,
            extras_len: self.extras.len() as u8,
            body_len: body.len() as u32,
            opaque: OPAQUE,
            cas,
        };
        [&header.to_bytes()[..], &body].concat()
    }
}

fn opcode(name: &str) -> u8 {
    match NAMES.split_whitespace().position(|known| known == name) {
        Some(opcode) => opcode as u8,
        None => u8::from_str_radix(name, 16).unwrap_or_else(|_| panic!("no opcode: {name}")),
    }
}

/// How long the packet at the front is, if it is whole.
pub(crate) fn front_len(bytes: &[u8]) -> Option<usize> {
    let len = HEADER_LEN + RequestHeader::read(bytes)?.body_len as usize;
    (len <= bytes.len()).then_some(len)
}

/// The CAS id of the packet at the front.
pub(crate) fn front_cas(bytes: &[u8]) -> Option<u64> {
    Some(RequestHeader::read(bytes)?.cas)
}
