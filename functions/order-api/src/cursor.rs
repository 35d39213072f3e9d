//! The cursor of `GET /orders/{id}`: where the facts from outside go on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{EventId, OrderId, Timestamp};
use ports::FactPlace;
use sha2::{Digest, Sha256};

/// How much of the hash a cursor carries, in characters.
const CHECK_LENGTH: usize = 16;
/// Hash, milliseconds, dot and identity, as base64.
const LENGTH_MAX: usize = (CHECK_LENGTH + 20 + 1 + EventId::LENGTH_MAX) * 4 / 3 + 3;

/// A place in the sequence of one order's facts from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) FactPlace);

impl Cursor {
    /// `None` for what is no cursor into the facts of this order. That is no secret: a cursor is data of the caller, and
    /// checked like all of it.
    pub(crate) fn read(order_id: &OrderId, text: &str) -> Option<Self> {
        if text.len() > LENGTH_MAX {
            return None;
        }
        let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (_, place) = decoded.split_at_checked(CHECK_LENGTH)?;
        let (at, identity) = place.split_once('.')?;
        let place = FactPlace {
            at: Timestamp::from_unix_ms(at.parse().ok()?),
            identity: EventId::parse(identity).ok()?,
        };
        (write(order_id, &place) == text).then_some(Self(place))
    }
}

/// The cursor of the facts that come after this place.
pub(crate) fn write(order_id: &OrderId, place: &FactPlace) -> String {
    let place = format!("{}.{}", place.at.unix_ms(), place.identity);
    let hash = Sha256::digest(format!("order-facts {order_id} {place}"));
    let mut check: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    check.truncate(CHECK_LENGTH);
    URL_SAFE_NO_PAD.encode(format!("{check}{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_for_its_own_order_alone() {
        let (order, other) = (OrderId::parse("o-1").unwrap(), OrderId::parse("o-2").unwrap());
        for (at, identity) in [(0, "a"), (i64::MIN, "."), (i64::MAX, &*"x".repeat(EventId::LENGTH_MAX))] {
            let place =
                FactPlace { at: Timestamp::from_unix_ms(at), identity: EventId::parse(identity).unwrap() };
            let cursor = write(&order, &place);
            assert_eq!(Cursor::read(&order, &cursor), Some(Cursor(place)));
            assert_eq!(Cursor::read(&other, &cursor), None);
            for wrong in
                [&cursor[1..], &cursor[..cursor.len() - 1], &format!("{cursor}A"), &format!("{cursor}=")]
            {
                assert_eq!(Cursor::read(&order, wrong), None, "{wrong}");
            }
        }
    }
}
