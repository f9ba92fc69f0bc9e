//! Random and damaged bytes: whatever comes, a terminal that is given what comes out acts on nothing. The seed is fixed;
//! `BACKSTAY_MUTATE_MINUTES=10` goes on for so long from a seed that it prints.

use backstay_testkit::{Random, mutate};

use super::{Colours, Moves, Sanitizer, json, one_line, sanitized};

const ROUNDS: u64 = 2_000;

/// What terminals act on, and what breaks those who look for it.
const MORSELS: [&[u8]; 54] = [
    b"\n",
    b"\r\n",
    b"\r",
    b"\x08",
    b"\t",
    b"\x1b",
    b"\x1b[",
    b"\x1b]",
    b"\x1bP",
    b"\x1bX",
    b"\x1b^",
    b"\x1b_",
    b"\x1b\\",
    b"\x07",
    b"\x9b",
    b"\x9d",
    b"\xc2\x9b",
    b"\xc2\x9d",
    b"\xc2\x90",
    b"\xc2\x85",
    b"\xc2\x9c",
    b"\xc2",
    b"\xe2\x80",
    b"\xf0\x9f\x91",
    b"\xff",
    b"\x1b[31m",
    b"\x1b[0m",
    b"\x1b[38;5;196m",
    b"\x1b[48;2;1;2;3m",
    b"\x1b[8m",
    b"\x1b[4:3m",
    b"\x1b[2J",
    b"\x1b[H",
    b"\x1b[K",
    b"\x1b[1K",
    b"\x1b[2K",
    b"\x1b[5C",
    b"\x1b[99999C",
    b"\x1b[3D",
    b"\x1b[7G",
    b"\x1b[1A",
    b"\x1b[?1049h",
    b"\x1b[?25l",
    b"\x1b[6n",
    b"\x1b]0;title\x07",
    b"\x1b]8;;http://x\x1b\\",
    b"\x1b]52;c;eA==\x07",
    b"\x1bc",
    b"\x1b(0",
    b"\x1b#8",
    b"\x0e",
    b"\x18",
    b"\x1a",
    b"\x00",
];
const WORDS: [&str; 22] = [
    "plain words",
    "x",
    " ",
    "    Compiling serde v1.0",
    "[=====>    ] 53%",
    "日本語",
    "é",
    "e\u{301}",
    "👩\u{200d}💻",
    "क\u{94d}\u{200d}ष",
    "می\u{200c}خواهم",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{feff}",
    "\u{2028}",
    "\u{e0041}",
    "❤\u{fe0f}",
    "\u{1160}",
    "\u{fffd}",
    "𝒳",
    "{\"a\":\"b\"}",
];

fn some_bytes(dice: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..dice.below(24) {
        match dice.below(8) {
            0 => bytes.push(u8::try_from(dice.number() >> 56).unwrap()),
            1 => bytes.extend(
                char::from_u32(u32::try_from(dice.below(0x11_0000)).unwrap())
                    .unwrap_or('x')
                    .to_string()
                    .bytes(),
            ),
            2 if !bytes.is_empty() => {
                let place = dice.below(bytes.len());
                bytes[place] ^= 1 << dice.below(8);
            }
            3 | 4 => bytes.extend(WORDS[dice.below(WORDS.len())].bytes()),
            _ => bytes.extend(MORSELS[dice.below(MORSELS.len())]),
        }
    }
    bytes
}

/// Remembers what a terminal was made to do beyond showing text.
#[derive(Default)]
struct Acts(Vec<String>);

impl vt100::Callbacks for Acts {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.0.push("bell".to_owned());
    }
    fn visual_bell(&mut self, _: &mut vt100::Screen) {
        self.0.push("flash".to_owned());
    }
    fn resize(&mut self, _: &mut vt100::Screen, size: (u16, u16)) {
        self.0.push(format!("resize {size:?}"));
    }
    fn set_window_icon_name(&mut self, _: &mut vt100::Screen, name: &[u8]) {
        self.0.push(format!("icon {name:?}"));
    }
    fn set_window_title(&mut self, _: &mut vt100::Screen, title: &[u8]) {
        self.0.push(format!("title {title:?}"));
    }
    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], data: &[u8]) {
        self.0.push(format!("copy {data:?}"));
    }
    fn paste_from_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8]) {
        self.0.push("paste".to_owned());
    }
    fn unhandled_escape(&mut self, _: &mut vt100::Screen, _: Option<u8>, _: Option<u8>, byte: u8) {
        self.0.push(format!("escape {byte}"));
    }
    fn unhandled_csi(
        &mut self,
        _: &mut vt100::Screen,
        _: Option<u8>,
        _: Option<u8>,
        _: &[&[u16]],
        last: char,
    ) {
        if last != 'm' {
            self.0.push(format!("sequence {last}"));
        }
    }
    fn unhandled_control(&mut self, _: &mut vt100::Screen, byte: u8) {
        self.0.push(format!("control {byte}"));
    }
    fn unhandled_osc(&mut self, _: &mut vt100::Screen, _: &[&[u8]]) {
        self.0.push("operating system command".to_owned());
    }
}

/// Shows `out` on a terminal on which every line has room.
fn acts_on_nothing(out: &str, of: &str) {
    let plain = anstyle_free(out);
    assert!(!plain.contains(|c: char| c.is_control() && c != '\n'), "{of}: {out:?}");
    let lines: Vec<&str> = out.split('\n').collect();
    let columns = plain.split('\n').map(|line| 2 * line.chars().count()).max().unwrap_or(0) + 2;
    let rows = u16::try_from(lines.len() + 1).unwrap();
    let mut terminal =
        vt100::Parser::new_with_callbacks(rows, u16::try_from(columns).unwrap(), 0, Acts::default());
    for (row, line) in (0_u16..).zip(&lines) {
        if row > 0 {
            terminal.process(b"\r\n");
        }
        terminal.process(line.as_bytes());
        let screen = terminal.screen();
        assert_eq!(screen.cursor_position().0, row, "{of}: {out:?}");
        assert!(
            screen.fgcolor() == vt100::Color::Default && !screen.inverse(),
            "{of}: colour leaks: {out:?}"
        );
        assert_eq!(screen.bgcolor(), vt100::Color::Default, "{of}: colour leaks: {out:?}");
        assert!(
            !screen.alternate_screen() && !screen.hide_cursor() && !screen.application_cursor(),
            "{of}: a mode was set by {out:?}"
        );
    }
    assert!(terminal.callbacks().0.is_empty(), "{of}: {:?} by {out:?}", terminal.callbacks().0);
}

/// `out` without the sequences that paint.
fn anstyle_free(out: &str) -> String {
    let mut plain = String::new();
    let mut rest = out;
    while let Some(at) = rest.find("\x1b[") {
        plain.push_str(&rest[..at]);
        let body = &rest[at + 2..];
        let end = body.find('m').expect("only colours");
        assert!(body[..end].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b';')), "{out:?}");
        rest = &body[end + 1..];
    }
    plain + rest
}

fn holds(dice: &mut Random) {
    let bytes = some_bytes(dice);
    let of = format!("{:?} ({bytes:?})", String::from_utf8_lossy(&bytes));
    for colours in [Colours::None, Colours::Own, Colours::Any] {
        for moves in [Moves::Obeyed, Moves::Shown] {
            let whole = sanitized(&bytes, Sanitizer::new(colours, moves));
            acts_on_nothing(&whole, &of);
            let again = sanitized(whole.as_bytes(), Sanitizer::new(colours, moves));
            assert_eq!(again, whole, "twice is once: {of}");
            let (mut sanitizer, mut out) = (Sanitizer::new(colours, moves), String::new());
            let cut = dice.below(bytes.len() + 1);
            sanitizer.take(&bytes[..cut], &mut out);
            acts_on_nothing(&sanitizer.unfinished(), &of);
            sanitizer.take(&bytes[cut..], &mut out);
            sanitizer.finish(&mut out);
            assert_eq!(out, whole, "cut at {cut}: {of}");
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = one_line(&text);
    assert!(!line.contains('\n'), "{of}");
    acts_on_nothing(&line, &of);
    assert_eq!(one_line(&line), line, "{of}");
    let document = json(serde_json::to_string(&text).unwrap());
    acts_on_nothing(&document, &of);
    assert_eq!(serde_json::from_str::<String>(&document).unwrap(), text);
}

#[test]
fn whatever_comes_a_terminal_acts_on_nothing() {
    mutate("sanitizer", 0x5eed_0000_0000_0022, ROUNDS, holds);
}
