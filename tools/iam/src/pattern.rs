//! Wildcards: `*` stands for any text, `?` for any one character.

/// Whether a text is what a pattern says.
#[must_use]
pub(crate) fn matches(pattern: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where the last `*` stands, and how much of the text it has taken.
    let mut last_any: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some(Token::Any) => {
                last_any = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(Token::One) => {
                at_pattern += 1;
                at_text += 1;
            }
            Some(Token::Is(character)) if *character == text[at_text] => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => {
                let Some((any, taken)) = last_any else { return false };
                last_any = Some((any, taken + 1));
                at_pattern = any + 1;
                at_text = taken + 1;
            }
        }
    }
    pattern[at_pattern..].iter().all(|token| *token == Token::Any)
}

/// Whether an ARN is what a pattern says: each of the six parts between colons by itself, so that no wildcard reaches over
/// a colon but in the last part, which may have colons of its own
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>).
#[must_use]
pub(crate) fn matches_arn(pattern: &[Token], arn: &str) -> bool {
    if pattern == [Token::Any] {
        return true;
    }
    let patterns: Vec<&[Token]> = pattern.splitn(6, |token| *token == Token::Is(':')).collect();
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    patterns.len() == 6
        && parts.len() == 6
        && patterns.iter().zip(parts).all(|(pattern, part)| matches(pattern, part))
}

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// This character.
    Is(char),
    /// Any one character.
    One,
    /// Any characters.
    Any,
}

/// Reads a pattern without variables.
#[must_use]
pub(crate) fn tokens(pattern: &str) -> Vec<Token> {
    let token = |character| match character {
        '*' => Token::Any,
        '?' => Token::One,
        character => Token::Is(character),
    };
    pattern.chars().map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(pattern: &str, text: &str) -> bool {
        matches(&tokens(pattern), text)
    }

    fn is_arn(pattern: &str, arn: &str) -> bool {
        matches_arn(&tokens(pattern), arn)
    }

    #[test]
    fn a_star_takes_any_text_and_a_question_mark_one_character() {
        for (pattern, text) in
            [("", ""), ("*", ""), ("a*c", "abc"), ("a*c", "ac"), ("a?c", "abc"), ("*b*", "abab")]
        {
            assert!(is(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", ""), ("a?c", "ac"), ("a*c", "abcd"), ("A", "a"), ("?", "")] {
            assert!(!is(pattern, text), "{pattern} {text}");
        }
        assert!(is("a*b*c", "a-b-b-c") && !is("a*b*c", "a-c-b"));
    }

    #[test]
    fn no_wildcard_reaches_over_a_colon_but_in_the_last_part() {
        assert!(is_arn("arn:aws:s3:::lake/*", "arn:aws:s3:::lake/events/a:b"));
        assert!(is_arn("arn:aws:logs:*:*:log-group:a:*", "arn:aws:logs:r:1:log-group:a:log-stream:b"));
        assert!(!is_arn("arn:aws:sqs:*:queue", "arn:aws:sqs:r:1:queue"));
        assert!(!is_arn("arn:aws:*", "arn:aws:sqs:r:1:queue"));
        assert!(is_arn("*", "anything"));
    }
}
