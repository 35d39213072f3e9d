//! What a terminal would obey is shown, and nothing else is changed.

use std::borrow::Cow;

use terminal::{harmless, in_line};

#[test]
fn what_is_harmful_is_shown_as_json_writes_it() {
    assert_eq!(
        harmless("a\u{1b}[2Jb\u{9b}\u{7f}\u{202e}\u{e0041}\n"),
        "a\\u001b[2Jb\\u009b\\u007f\\u202e\\udb40\\udc41\n"
    );
    assert_eq!(in_line("a\n\tb\r\n"), "a\\n\\tb\\r\\n");
    assert_eq!(harmless("a,b\r\n1,2\r\n"), "a,b\r\n1,2\r\n");
    assert!(matches!(harmless("ünï ✓ 📦"), Cow::Borrowed("ünï ✓ 📦")));
}
