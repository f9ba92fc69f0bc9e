//! What a terminal may be shown of the bytes of others.

/// Escape sequences that are longer are none.
const ESCAPE_BYTES_MAX: usize = 64;

/// `bytes` without what a terminal would act on; `escape` keeps the beginning of a sequence until its end comes.
pub(crate) fn harmless(escape: &mut Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if escape.is_empty() {
            match byte {
                0x1b => escape.push(byte),
                b'\n' | b'\t' => clean.push(byte),
                0..0x20 | 0x7f => {}
                byte => clean.push(byte),
            }
            continue;
        }
        escape.push(byte);
        let is_over = match escape.get(1) {
            Some(b'[') => escape.len() > 2 && (0x40..=0x7e).contains(&byte),
            // A title, a clipboard: up to BEL or ESC backslash.
            Some(b']' | b'P' | b'_' | b'^') => byte == 0x07 || escape.ends_with(b"\x1b\\"),
            _ => true,
        };
        if is_over || escape.len() > ESCAPE_BYTES_MAX {
            if escape.starts_with(b"\x1b[") && byte == b'm' {
                clean.extend_from_slice(escape);
            }
            escape.clear();
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_colours_and_nothing_that_it_would_act_on() {
        let said =
            b"\x1b[31mred\x1b[0m\x1b[2J\x1b]0;title\x07 a\tb\r\n\x08\x1b]52;c;eA==\x1b\\\xc3\xa9\x1bcend";
        let expected = b"\x1b[31mred\x1b[0m a\tb\n\xc3\xa9end";
        for cut in 0..said.len() {
            let mut escape = Vec::new();
            let mut clean = harmless(&mut escape, &said[..cut]);
            clean.extend(harmless(&mut escape, &said[cut..]));
            assert_eq!(clean, expected, "cut at {cut}");
        }
    }
}
