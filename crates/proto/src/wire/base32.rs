//! Base32 of RFC 4648 in lower case and without padding characters: short enough for a DNS label, safe in a PeerJS id.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Writes bytes as text; the unused low bits of the last character are zero.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 8).div_ceil(5));
    let mut pool = 0u16;
    let mut filled = 0;
    for &byte in bytes {
        pool = (pool << 8) | u16::from(byte);
        filled += 8;
        while filled >= 5 {
            filled -= 5;
            text.push(symbol(pool >> filled));
        }
    }
    if filled > 0 {
        text.push(symbol(pool << (5 - filled)));
    }
    text
}

/// Reads text back. `None` when a character is outside the alphabet, the length is none that [`encode`] makes, or the unused bits of
/// the last character are not zero: every byte string has exactly one text.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if matches!(text.len() % 8, 1 | 3 | 6) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let mut pool = 0u16;
    let mut filled = 0;
    for character in text.bytes() {
        pool = (pool << 5) | u16::from(value(character)?);
        filled += 5;
        if filled >= 8 {
            filled -= 8;
            bytes.push((pool >> filled) as u8);
        }
    }
    let unused = (1u16 << filled) - 1;
    (pool & unused == 0).then_some(bytes)
}

/// Whether a character belongs to the alphabet.
pub fn is_symbol(character: u8) -> bool {
    value(character).is_some()
}

fn symbol(bits: u16) -> char {
    char::from(ALPHABET[usize::from(bits & 31)])
}

fn value(character: u8) -> Option<u8> {
    match character {
        b'a'..=b'z' => Some(character - b'a'),
        b'2'..=b'7' => Some(character - b'2' + 26),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_rfc_4648_hold_in_lower_case_without_padding() {
        for (plain, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn upper_case_padding_and_foreign_characters_are_refused() {
        for text in ["MY", "my======", "m1", "m8", "m y", "mü"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn bits_beyond_the_last_byte_must_be_zero() {
        assert_eq!(decode("mz"), None);
        assert_eq!(decode("a"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn text_that_reads_is_the_only_text_of_its_bytes(text in "[a-z2-7]{0,60}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
