use std::fmt;

use crate::Violations;
use crate::violation::Findings;

/// Whom to deliver to, and how to reach them: the only place for personal data.
///
/// `Debug` shows nothing of it, so that it cannot reach a log by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Personal {
    /// Full name, 1 to 200 characters.
    pub name: String,
    /// E-mail address, up to 254 characters (RFC 5321).
    pub email: String,
    /// Telephone number in any notation, up to 32 characters.
    pub phone: Option<String>,
    /// Street and house number, 1 to 200 characters.
    pub street: String,
    /// City, 1 to 100 characters.
    pub city: String,
    /// Postal code, 1 to 16 characters.
    pub postal_code: String,
    /// ISO 3166-1 alpha-2 country code, such as `DE`.
    pub country: String,
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Personal(redacted)")
    }
}

/// Personal data as it came in.
#[derive(Clone, Copy)]
pub struct PersonalDraft<'a> {
    /// See [`Personal::name`].
    pub name: &'a str,
    /// See [`Personal::email`].
    pub email: &'a str,
    /// See [`Personal::phone`].
    pub phone: Option<&'a str>,
    /// See [`Personal::street`].
    pub street: &'a str,
    /// See [`Personal::city`].
    pub city: &'a str,
    /// See [`Personal::postal_code`].
    pub postal_code: &'a str,
    /// See [`Personal::country`].
    pub country: &'a str,
}

/// One line that a person can read: 1 to `length_max` characters, not all of them blank, no control characters.
#[must_use]
pub fn is_line(text: &str, length_max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= length_max && !text.chars().any(char::is_control)
}

impl Personal {
    /// The most characters of a name.
    pub const NAME_LENGTH_MAX: usize = 200;
    /// The most characters of an e-mail address (RFC 5321).
    pub const EMAIL_LENGTH_MAX: usize = 254;
    /// The most characters of a telephone number.
    pub const PHONE_LENGTH_MAX: usize = 32;
    /// The most characters of a street with its house number.
    pub const STREET_LENGTH_MAX: usize = 200;
    /// The most characters of a city.
    pub const CITY_LENGTH_MAX: usize = 100;
    /// The most characters of a postal code.
    pub const POSTAL_CODE_LENGTH_MAX: usize = 16;

    /// Checks lengths and shapes; whether an address exists is for the carrier to say.
    ///
    /// # Errors
    /// [`Violations`], one for each broken rule, none of which repeats a value.
    pub fn parse(draft: &PersonalDraft<'_>) -> Result<Self, Violations> {
        let mut findings = Findings::default();
        let mut text = |field: &str, text: &str, length_max: usize| {
            if !is_line(text, length_max) {
                findings.add(
                    format!("personal.{field}"),
                    "invalid_text",
                    format_args!("{field} must be 1 to {length_max} characters without control characters"),
                );
            }
        };
        text("name", draft.name, Self::NAME_LENGTH_MAX);
        text("email", draft.email, Self::EMAIL_LENGTH_MAX);
        if let Some(phone) = draft.phone {
            text("phone", phone, Self::PHONE_LENGTH_MAX);
        }
        text("street", draft.street, Self::STREET_LENGTH_MAX);
        text("city", draft.city, Self::CITY_LENGTH_MAX);
        text("postalCode", draft.postal_code, Self::POSTAL_CODE_LENGTH_MAX);
        if !is_email(draft.email) {
            findings.add("personal.email", "invalid_email", "email must look like name@host");
        }
        if draft.country.len() != 2 || !draft.country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            findings.add(
                "personal.country",
                "invalid_country",
                "country must be an ISO 3166-1 alpha-2 code such as DE",
            );
        }
        if !findings.is_empty() {
            return Err(findings.into_violations());
        }
        Ok(Self {
            name: draft.name.to_owned(),
            email: draft.email.to_owned(),
            phone: draft.phone.map(str::to_owned),
            street: draft.street.to_owned(),
            city: draft.city.to_owned(),
            postal_code: draft.postal_code.to_owned(),
            country: draft.country.to_owned(),
        })
    }
}

/// A name, an `@` and a host, without spaces; whether there is such an address, only a message to it can tell.
#[must_use]
pub fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && !host.is_empty() && !host.contains('@') && !text.contains(char::is_whitespace)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: PersonalDraft<'static> = PersonalDraft {
        name: "Ada Example",
        email: "ada@example.com",
        phone: None,
        street: "1 Analytical Row",
        city: "London",
        postal_code: "N1 9GU",
        country: "GB",
    };

    fn fields(draft: &PersonalDraft<'_>) -> Vec<String> {
        Personal::parse(draft).unwrap_err().into_vec().into_iter().map(|found| found.field).collect()
    }

    #[test]
    fn a_complete_address_is_accepted() {
        assert!(Personal::parse(&GOOD).is_ok());
    }

    #[test]
    fn each_broken_field_is_named_and_no_value_is_repeated() {
        let long = "x".repeat(255);
        let bad = PersonalDraft {
            name: " ",
            email: "secret at home",
            phone: Some(&long),
            street: "",
            city: "a\u{7}b",
            postal_code: "12345678901234567",
            country: "de",
        };
        let named = ["name", "phone", "street", "city", "postalCode", "email", "country"];
        assert_eq!(fields(&bad), named.map(|field| format!("personal.{field}")));
        assert!(!Personal::parse(&bad).unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn debug_shows_nothing_personal() {
        assert_eq!(format!("{:?}", Personal::parse(&GOOD).unwrap()), "Personal(redacted)");
    }
}
