use std::fmt;

use crate::Quantity;

/// A currency of ISO 4217 that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Reads an ISO 4217 code such as `EUR`, upper case. Codes that nobody can pay in are refused: withdrawn currencies,
    /// funds, metals, and the codes for testing and for no currency.
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`] when ISO 4217 has no such currency in use.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        let currency = iso_currency::Currency::from_code(code).ok_or(MoneyError::UnknownCurrency)?;
        if is_in_use(currency) { Ok(Self(currency)) } else { Err(MoneyError::UnknownCurrency) }
    }

    /// The three-letter code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Digits after the decimal point: 2 for EUR, 0 for JPY. `None` where ISO 4217 gives none.
    #[must_use]
    pub fn minor_digits(self) -> Option<u16> {
        self.0.exponent()
    }
}

/// Whether the code is in list one of ISO 4217 and names money.
fn is_in_use(currency: iso_currency::Currency) -> bool {
    // The crate calls VES superseded by VED; ISO 4217 lists both.
    currency.flags().is_empty() || currency == iso_currency::Currency::VES
}

/// A non-negative amount in the currency's minor unit (cents for EUR), never a fraction.
///
/// At most [`Money::AMOUNT_MINOR_MAX`], so that every JSON reader keeps it exact.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    amount_minor: u64,
    currency: Currency,
}

/// Why an amount is not money, or two amounts do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not the code of a currency in use.
    #[error("currency must be the ISO 4217 code of a currency in use, such as EUR")]
    UnknownCurrency,
    /// Negative, or beyond what a JSON number holds exactly.
    #[error("amountMinor must be a whole number from 0 to {}", Money::AMOUNT_MINOR_MAX)]
    OutOfRange,
    /// Two currencies in one sum.
    #[error("amounts of different currencies cannot be added")]
    CurrencyMismatch,
}

impl Money {
    /// 2^53 - 1, the largest integer that every JSON reader keeps exact (RFC 8259, section 6).
    pub const AMOUNT_MINOR_MAX: u64 = (1 << 53) - 1;

    /// An amount in minor units.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] when it is negative or above [`Money::AMOUNT_MINOR_MAX`].
    pub fn new(amount_minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        let amount_minor = u64::try_from(amount_minor).map_err(|_| MoneyError::OutOfRange)?;
        Self::bounded(amount_minor, currency)
    }

    fn bounded(amount_minor: u64, currency: Currency) -> Result<Self, MoneyError> {
        if amount_minor > Self::AMOUNT_MINOR_MAX {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Self { amount_minor, currency })
    }

    /// Nothing, in a currency.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self { amount_minor: 0, currency }
    }

    /// The amount in minor units.
    #[must_use]
    pub fn amount_minor(self) -> u64 {
        self.amount_minor
    }

    /// The currency.
    #[must_use]
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The sum of two amounts of one currency.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] or [`MoneyError::OutOfRange`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch);
        }
        let sum = self.amount_minor.checked_add(other.amount_minor).ok_or(MoneyError::OutOfRange)?;
        Self::bounded(sum, self.currency)
    }

    /// This unit price times a quantity.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn checked_mul(self, quantity: Quantity) -> Result<Self, MoneyError> {
        let product =
            self.amount_minor.checked_mul(u64::from(quantity.get())).ok_or(MoneyError::OutOfRange)?;
        Self::bounded(product, self.currency)
    }
}

impl fmt::Display for Money {
    /// `12.50 EUR`: the amount as people write it, with the currency's own digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = usize::from(self.currency.minor_digits().unwrap_or(0));
        if digits == 0 {
            return write!(f, "{} {}", self.amount_minor, self.currency.code());
        }
        let unit = (0..digits).fold(1_u64, |unit, _| unit.saturating_mul(10));
        let (major, minor) = (self.amount_minor / unit, self.amount_minor % unit);
        write!(f, "{major}.{minor:0digits$} {}", self.currency.code())
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn eur(amount_minor: i64) -> Money {
        Money::new(amount_minor, Currency::parse("EUR").unwrap()).unwrap()
    }

    #[test]
    fn a_code_outside_iso_4217_is_refused() {
        for code in ["", "eur", "EURO", "ZZZ", "€"] {
            assert_eq!(Currency::parse(code), Err(MoneyError::UnknownCurrency), "{code:?}");
        }
    }

    #[test]
    fn only_a_currency_that_people_pay_in_is_accepted() {
        for code in ["HRK", "BGN", "DEM", "SLL", "ZWL", "CUC", "ANG"] {
            assert_eq!(Currency::parse(code), Err(MoneyError::UnknownCurrency), "{code} is withdrawn");
        }
        for code in ["XXX", "XTS", "XAU", "XDR", "XSU", "CHE", "CLF", "USN", "UYI", "UYW", "XAD"] {
            assert_eq!(Currency::parse(code), Err(MoneyError::UnknownCurrency), "{code} is no money");
        }
        for code in ["EUR", "USD", "JPY", "SLE", "ZWG", "XCG", "XOF", "XAF", "XPF", "XCD", "VES", "VED"] {
            let currency = Currency::parse(code).unwrap();
            assert!(currency.minor_digits().is_some(), "{code}");
        }
    }

    #[test]
    fn money_prints_with_the_digits_of_its_currency() {
        let jpy = Money::new(1250, Currency::parse("JPY").unwrap()).unwrap();
        let kwd = Money::new(1250, Currency::parse("KWD").unwrap()).unwrap();
        assert_eq!(eur(1205).to_string(), "12.05 EUR");
        assert_eq!(jpy.to_string(), "1250 JPY");
        assert_eq!(kwd.to_string(), "1.250 KWD");
    }

    #[test]
    fn two_currencies_do_not_add() {
        let usd = Money::new(1, Currency::parse("USD").unwrap()).unwrap();
        assert_eq!(eur(1).checked_add(usd), Err(MoneyError::CurrencyMismatch));
    }

    proptest! {
        #[test]
        fn sums_are_exact_or_refused(a in 0..=Money::AMOUNT_MINOR_MAX, b in 0..=Money::AMOUNT_MINOR_MAX) {
            let sum = eur(i64::try_from(a).unwrap()).checked_add(eur(i64::try_from(b).unwrap()));
            match sum {
                Ok(sum) => prop_assert_eq!(sum.amount_minor(), a + b),
                Err(error) => {
                    prop_assert_eq!(error, MoneyError::OutOfRange);
                    prop_assert!(a + b > Money::AMOUNT_MINOR_MAX);
                }
            }
        }

        #[test]
        fn products_are_exact_or_refused(price in 0..=Money::AMOUNT_MINOR_MAX, count in 1_i64..=9_999) {
            let quantity = Quantity::new(count).unwrap();
            let exact = u128::from(price) * u128::from(quantity.get());
            match eur(i64::try_from(price).unwrap()).checked_mul(quantity) {
                Ok(product) => prop_assert_eq!(u128::from(product.amount_minor()), exact),
                Err(_) => prop_assert!(exact > u128::from(Money::AMOUNT_MINOR_MAX)),
            }
        }
    }
}
