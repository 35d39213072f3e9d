//! The parts that several events share, and their conversions to and from the domain.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{integer, texts};

/// An amount in minor units of an ISO 4217 currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// Cents for EUR; 0 to 2^53 - 1.
    #[schemars(range(min = 0, max = domain::Money::AMOUNT_MINOR_MAX))]
    #[schemars(example = 1250)]
    #[serde(deserialize_with = "integer::deserialize")]
    pub amount_minor: i64,
    /// Such as `EUR`.
    #[schemars(with = "texts::Currency")]
    pub currency: String,
}

impl Money {
    pub(crate) fn draft(&self) -> domain::MoneyDraft<'_> {
        domain::MoneyDraft { amount_minor: self.amount_minor, currency: &self.currency }
    }

    /// Checks the amount and the currency.
    ///
    /// # Errors
    /// [`domain::MoneyError`].
    pub fn parse(&self) -> Result<domain::Money, domain::MoneyError> {
        domain::Money::new(self.amount_minor, domain::Currency::parse(&self.currency)?)
    }
}

impl From<domain::Money> for Money {
    fn from(money: domain::Money) -> Self {
        // Money is at most 2^53 - 1, so the conversion never saturates.
        let amount_minor = i64::try_from(money.amount_minor()).unwrap_or(i64::MAX);
        Self { amount_minor, currency: money.currency().code().to_owned() }
    }
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// What.
    #[schemars(with = "texts::Sku")]
    pub sku: String,
    /// How many: 1 to 9,999.
    #[schemars(range(min = 1, max = domain::Quantity::MAX))]
    #[schemars(example = 2)]
    #[serde(deserialize_with = "integer::deserialize")]
    pub quantity: i64,
    /// The price of one.
    pub unit_price: Money,
}

impl Line {
    pub(crate) fn draft(&self) -> domain::LineDraft<'_> {
        domain::LineDraft { sku: &self.sku, quantity: self.quantity, unit_price: self.unit_price.draft() }
    }
}

impl From<&domain::Line> for Line {
    fn from(line: &domain::Line) -> Self {
        Self {
            sku: line.sku.as_str().to_owned(),
            quantity: line.quantity.get().into(),
            unit_price: line.unit_price.into(),
        }
    }
}

/// So many of a SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockLine {
    /// What.
    #[schemars(with = "texts::Sku")]
    pub sku: String,
    /// How many: 1 to 9,999.
    #[schemars(range(min = 1, max = domain::Quantity::MAX))]
    #[schemars(example = 2)]
    #[serde(deserialize_with = "integer::deserialize")]
    pub quantity: i64,
}

impl From<&domain::StockLine> for StockLine {
    fn from(line: &domain::StockLine) -> Self {
        Self { sku: line.sku.as_str().to_owned(), quantity: line.quantity.get().into() }
    }
}

/// One line that was not in stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shortage {
    /// What.
    #[schemars(with = "texts::Sku")]
    pub sku: String,
    /// How many were asked for.
    #[schemars(range(min = 1, max = domain::Quantity::MAX))]
    #[schemars(example = 2)]
    #[serde(deserialize_with = "integer::deserialize")]
    pub requested: i64,
    /// How many there were.
    #[schemars(range(max = texts::EXACT_MAX))]
    #[schemars(example = 1)]
    #[serde(deserialize_with = "integer::deserialize")]
    pub available: u64,
}

impl From<&domain::Shortage> for Shortage {
    fn from(shortage: &domain::Shortage) -> Self {
        Self {
            sku: shortage.sku.as_str().to_owned(),
            requested: shortage.requested.get().into(),
            available: shortage.available,
        }
    }
}

/// Why something was decided: a code for programs, a message for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// Such as `out_of_stock`.
    #[schemars(with = "texts::Code")]
    pub code: String,
    /// The field of the order that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<texts::Words<{ texts::FIELD_LENGTH_MAX }>>")]
    #[schemars(example = &"lines[0].sku")]
    pub field: Option<String>,
    /// For people; never repeats personal data.
    #[schemars(with = "texts::Words<{ texts::MESSAGE_LENGTH_MAX }>")]
    #[schemars(example = &"TEA-EARL-GREY: 2 ordered, 1 available")]
    pub message: String,
}

impl Reason {
    /// A reason that is about the order as a whole.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), field: None, message: message.into() }
    }
}

impl From<domain::Violation> for Reason {
    fn from(violation: domain::Violation) -> Self {
        Self { code: violation.code.to_owned(), field: Some(violation.field), message: violation.message }
    }
}

/// Personal data: whom to deliver to. The only part of any event that holds any; `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "Personal data: whom to deliver to.", extend("x-pii" = true))]
pub struct Personal {
    /// Full name.
    #[schemars(with = "texts::Words<{ domain::Personal::NAME_LENGTH_MAX }>", extend("x-pii" = true))]
    #[schemars(example = &"Ada Example")]
    pub name: String,
    /// E-mail address.
    #[schemars(with = "texts::Email", extend("x-pii" = true))]
    pub email: String,
    /// Telephone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<texts::Words<{ domain::Personal::PHONE_LENGTH_MAX }>>", extend("x-pii" = true))]
    #[schemars(example = &"+44 20 7946 0000")]
    pub phone: Option<String>,
    /// Street and house number.
    #[schemars(with = "texts::Words<{ domain::Personal::STREET_LENGTH_MAX }>", extend("x-pii" = true))]
    #[schemars(example = &"1 Analytical Row")]
    pub street: String,
    /// City.
    #[schemars(with = "texts::Words<{ domain::Personal::CITY_LENGTH_MAX }>", extend("x-pii" = true))]
    #[schemars(example = &"London")]
    pub city: String,
    /// Postal code.
    #[schemars(with = "texts::Words<{ domain::Personal::POSTAL_CODE_LENGTH_MAX }>", extend("x-pii" = true))]
    #[schemars(example = &"N1 9GU")]
    pub postal_code: String,
    /// ISO 3166-1 alpha-2.
    #[schemars(with = "texts::Country", extend("x-pii" = true))]
    pub country: String,
}

impl Personal {
    /// Checks every field.
    ///
    /// # Errors
    /// [`domain::Violations`].
    pub fn parse(&self) -> Result<domain::Personal, domain::Violations> {
        domain::Personal::parse(&domain::PersonalDraft {
            name: &self.name,
            email: &self.email,
            phone: self.phone.as_deref(),
            street: &self.street,
            city: &self.city,
            postal_code: &self.postal_code,
            country: &self.country,
        })
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Personal(redacted)")
    }
}

/// Personal data: who signed for a parcel.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-pii" = true))]
pub struct Signature {
    /// The name as signed.
    #[schemars(with = "texts::Words<200>", extend("x-pii" = true))]
    #[schemars(example = &"Ada Example")]
    pub signed_by: String,
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(redacted)")
    }
}
