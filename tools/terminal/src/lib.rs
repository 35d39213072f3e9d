//! The only way to standard output and standard error for every program of this repository.
//!
//! What programs print was partly written by others. A terminal obeys control characters, so none passes: each is shown as
//! JSON writes it, such as `\u001b`, which keeps printed JSON the same value. Colours are a [`Text`], whose foreign parts
//! cannot hold any.
//!
//! A reader that goes away, as in `… | head -1`, is no error: what is printed after that is dropped. A program with nothing
//! to clear up may end then, see [`is_open`].
//!
//! This crate has no dependencies, because the launcher must compile in a second.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Display, Write as _};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether nobody reads standard output any more.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// Whether standard output did not take something, such as on a full disk.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Prints a line to standard output.
pub fn say(line: impl Display) {
    show(format_args!("{line}\n"));
}

/// Prints to standard output, without a line break at the end.
pub fn show(text: impl Display) {
    print(&harmless(&text.to_string()));
}

/// Prints a line that may be coloured to standard output.
pub fn say_coloured(text: &Text) {
    print(&format!("{text}\n"));
}

/// Prints a line to standard error. When that is closed, nobody is there to be told.
pub fn complain(line: impl Display) {
    let text = format!("{line}\n");
    stderr().write_all(harmless(&text).as_bytes()).ok();
}

/// Prints an error and what caused it to standard error.
pub fn complain_of(error: &dyn Error) {
    complain(format_args!("orderbus: {error}"));
    let mut cause = error.source();
    while let Some(error) = cause {
        complain(format_args!("  because: {error}"));
        cause = error.source();
    }
}

/// Whether somebody still reads standard output.
#[must_use]
pub fn is_open() -> bool {
    !CLOSED.load(Ordering::Relaxed)
}

/// Whether standard output is a terminal that is to show colours.
#[must_use]
pub fn is_coloured() -> bool {
    stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// The code to end with: that of the program, or failure when not all could be printed. A closed pipe is no failure.
#[must_use]
pub fn exit_code(code: ExitCode) -> ExitCode {
    if FAILED.load(Ordering::Relaxed) {
        complain("orderbus: not everything could be printed");
        return ExitCode::FAILURE;
    }
    code
}

fn print(text: &str) {
    if !is_open() {
        return;
    }
    let mut out = stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        let what = if error.kind() == ErrorKind::BrokenPipe { &CLOSED } else { &FAILED };
        what.store(true, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one home of standard output")]
fn stdout() -> io::Stdout {
    io::stdout()
}

#[expect(clippy::disallowed_methods, reason = "this is the one home of standard error")]
fn stderr() -> io::Stderr {
    io::stderr()
}

/// A text without characters that a terminal obeys or that change how the text around them looks. Line breaks and tabs
/// stay: they are the layout.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

/// The same for a value within a line: its line breaks and tabs are shown, too, so that it cannot pass for another line.
#[must_use]
pub fn in_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

fn escaped(text: &str, is_layout: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_shown = |character: char| is_layout(character) || !is_harmful(character);
    if text.chars().all(is_shown) {
        return text.into();
    }
    let mut harmless = String::with_capacity(text.len() + 16);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            // How CSV ends its lines.
            '\r' if is_layout('\n') && characters.peek() == Some(&'\n') => harmless.push('\r'),
            shown if is_shown(shown) => harmless.push(shown),
            '\n' => harmless.push_str("\\n"),
            '\r' => harmless.push_str("\\r"),
            '\t' => harmless.push_str("\\t"),
            // Writing to a String cannot fail.
            harmful => harmful.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                write!(harmless, "\\u{unit:04x}").ok();
            }),
        }
    }
    harmless.into()
}

/// Control characters, whatever changes the direction of text, and characters that nobody sees.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Text with colours. Its parts may be anybody's: they hold no control character, and none of them begins a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    text: String,
    has_colours: bool,
}

impl Text {
    /// An empty text, whose colours are left out unless `has_colours`.
    #[must_use]
    pub fn new(has_colours: bool) -> Self {
        Self { text: String::new(), has_colours }
    }

    /// With more text.
    #[must_use]
    pub fn plain(mut self, text: &str) -> Self {
        self.text.push_str(&in_line(text));
        self
    }

    /// With more text in a colour, or another look, by its number (ECMA-48, SGR).
    #[must_use]
    pub fn painted(mut self, colour: u8, text: &str) -> Self {
        if !self.has_colours {
            return self.plain(text);
        }
        // Writing to a String cannot fail.
        write!(self.text, "\u{1b}[{colour}m{}\u{1b}[0m", in_line(text)).ok();
        self
    }

    /// With a line break.
    #[must_use]
    pub fn next_line(mut self) -> Self {
        self.text.push('\n');
        self
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hostile() -> impl Strategy<Value = String> {
        let character = prop_oneof![
            any::<char>(),
            (0_u32..0xa0).prop_map(|code| char::from_u32(code).unwrap()),
            (0x2000_u32..0x2070).prop_map(|code| char::from_u32(code).unwrap()),
            Just('\r'),
            Just('\n'),
        ];
        proptest::collection::vec(character, 0..40).prop_map(String::from_iter)
    }

    fn is_bidi_or_unseen(character: char) -> bool {
        matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{feff}')
    }

    proptest! {
        #[test]
        fn no_control_character_passes(text in hostile()) {
            let shown = harmless(&text).replace("\r\n", "\n");
            prop_assert!(!shown.chars().any(|one| one.is_control() && one != '\n' && one != '\t'), "{shown:?}");
            prop_assert!(!shown.chars().any(is_bidi_or_unseen), "{shown:?}");
            prop_assert_eq!(shown.lines().count(), text.lines().count());
        }

        #[test]
        fn a_value_stays_in_its_line(text in hostile()) {
            let shown = in_line(&text);
            prop_assert!(!shown.chars().any(|one| one.is_control() || is_bidi_or_unseen(one)), "{shown:?}");
        }

        #[test]
        fn colours_are_ours_alone(text in hostile(), has_colours: bool) {
            let painted = Text::new(has_colours).plain(&text).painted(31, &text).to_string();
            let ours = if has_colours { 2 } else { 0 };
            prop_assert_eq!(painted.chars().filter(|one| one.is_control()).count(), ours);
        }
    }
}
