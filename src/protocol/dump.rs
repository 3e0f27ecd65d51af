//! Lines of dumps: what an operator is shown of each item.

use crate::base::key::Key;
use crate::base::number::push_decimal;
use crate::base::uri::push_uri;
use crate::protocol::meta::{needs_base64, push_base64};

/// Ends the list of `mgdump`.
pub const KEYS_END: &[u8] = b"EN\r\n";

/// What is told of an item.
#[derive(Clone, Copy, Debug)]
pub struct DumpedItem<'a> {
    /// Its key.
    pub key: Key<'a>,
    /// Whether that came base64-encoded.
    pub binary_key: bool,
    /// The Unix time at which it dies; `None` if it never does.
    pub expires: Option<i64>,
    /// The Unix time of its last access.
    pub accessed: i64,
    /// Its CAS id.
    pub cas: u64,
    /// Whether it has been fetched.
    pub fetched: bool,
    /// Its slab class.
    pub class: u8,
    /// Bytes it takes.
    pub size: u32,
    /// Bytes of its value.
    pub value_len: u32,
    /// The client's bits.
    pub client_flags: u32,
}

impl DumpedItem<'_> {
    /// Whether its key can be shown in base64 only.
    fn is_binary(&self) -> bool {
        self.binary_key || needs_base64(self.key)
    }
}

/// Appends a line of `lru_crawler metadump`: it ends in a space and a bare newline, which is what
/// those who read dumps expect.
pub fn push_metadump_line(out: &mut Vec<u8>, item: &DumpedItem<'_>) {
    out.extend_from_slice(b"key=");
    push_uri(out, item.key.as_bytes());
    out.extend_from_slice(b" exp=");
    match item.expires {
        Some(unix) => push_signed(out, unix),
        None => out.extend_from_slice(b"-1"),
    }
    out.extend_from_slice(b" la=");
    push_signed(out, item.accessed);
    out.extend_from_slice(b" cas=");
    push_decimal(out, item.cas);
    out.extend_from_slice(if item.fetched {
        b" fetch=yes"
    } else {
        b" fetch=no"
    });
    let numbers = [u32::from(item.class), item.size, item.client_flags];
    for (name, number) in [" cls=", " size=", " flags="].into_iter().zip(numbers) {
        out.extend_from_slice(name.as_bytes());
        push_decimal(out, number.into());
    }
    out.extend_from_slice(b" \n");
}

/// Appends a line of `lru_crawler mgdump`: what to send to get the item.
pub fn push_mgdump_line(out: &mut Vec<u8>, item: &DumpedItem<'_>) {
    out.extend_from_slice(b"mg ");
    if item.is_binary() {
        push_base64(out, item.key.as_bytes());
        out.extend_from_slice(b" b");
    } else {
        out.extend_from_slice(item.key.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a line of `stats cachedump`. An item whose key cannot be shown as it is has none.
pub fn push_cachedump_line(out: &mut Vec<u8>, item: &DumpedItem<'_>) {
    if item.is_binary() {
        return;
    }
    out.extend_from_slice(b"ITEM ");
    out.extend_from_slice(item.key.as_bytes());
    out.extend_from_slice(b" [");
    push_decimal(out, item.value_len.into());
    out.extend_from_slice(b" b; ");
    push_signed(out, item.expires.unwrap_or(0));
    out.extend_from_slice(b" s]\r\n");
}

/// A Unix time, which is below zero where the clock is set to before 1970.
fn push_signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_decimal(out, number.unsigned_abs());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &[u8]) -> DumpedItem<'_> {
        DumpedItem {
            key: Key::new(key).unwrap(),
            binary_key: false,
            expires: None,
            accessed: 1_700_000_000,
            cas: u64::MAX,
            fetched: false,
            class: 5,
            size: 69,
            value_len: 3,
            client_flags: 4_294_967_295,
        }
    }

    fn line(push: fn(&mut Vec<u8>, &DumpedItem<'_>), item: &DumpedItem<'_>) -> String {
        let mut out = vec![];
        push(&mut out, item);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_dumped_item_is_one_line_of_eight_facts() {
        let forever = item(b"a:b\n");
        assert_eq!(
            line(push_metadump_line, &forever),
            "key=a%3Ab%0A exp=-1 la=1700000000 cas=18446744073709551615 fetch=no cls=5 size=69 \
             flags=4294967295 \n"
        );
        let fetched = DumpedItem {
            expires: Some(1_700_000_100),
            accessed: -7,
            cas: 0,
            fetched: true,
            client_flags: 0,
            ..item(b"k")
        };
        assert_eq!(
            line(push_metadump_line, &fetched),
            "key=k exp=1700000100 la=-7 cas=0 fetch=yes cls=5 size=69 flags=0 \n"
        );
    }

    #[test]
    fn a_dumped_key_is_what_gets_the_item() {
        assert_eq!(line(push_mgdump_line, &item(b"foo")), "mg foo\r\n");
        let split = item(b"foo\r\nEN\r\n");
        assert_eq!(line(push_mgdump_line, &split), "mg Zm9vDQpFTg0K b\r\n");
        let binary = DumpedItem {
            binary_key: true,
            ..item(b"foo")
        };
        assert_eq!(line(push_mgdump_line, &binary), "mg Zm9v b\r\n");
    }

    #[test]
    fn a_key_that_could_be_taken_for_more_is_left_out_of_a_list_of_plain_ones() {
        assert_eq!(
            line(push_cachedump_line, &item(b"foo")),
            "ITEM foo [3 b; 0 s]\r\n"
        );
        let dies = DumpedItem {
            expires: Some(1_700_000_100),
            ..item(b"foo")
        };
        assert_eq!(
            line(push_cachedump_line, &dies),
            "ITEM foo [3 b; 1700000100 s]\r\n"
        );
        assert_eq!(line(push_cachedump_line, &item(b"foo bar")), "");
    }
}
