use domain::{Attempt, Concerning, QuarantineId, RedriveKey, RedriveReason};

use super::{BATCH, event_id, instant, ok, order_id};
use crate::{Commit, QuarantineObject, QuarantineStore};

/// The suite of [`QuarantineStore`].
pub async fn quarantine_store<S: QuarantineStore>(store: &S, unique: &str) {
    let first = object(unique, 0, "{\"not\": \"JSON\" \\ ü");
    assert_eq!(ok(store.find(&first.id).await), None, "nothing is known of a new id");
    assert_eq!(ok(store.keep(&first).await), Commit::Written);
    let other = QuarantineObject { id: first.id.clone(), ..object(unique, 7, "something else") };
    for again in [&first, &other] {
        assert_eq!(ok(store.keep(again).await), Commit::Existing(()));
        assert_eq!(ok(store.find(&first.id).await).as_ref(), Some(&first), "what is there stays");
    }

    // As little as can be known of a message, and an empty one at that.
    let concerning = Concerning { consumer: "conformance".to_owned(), ..Concerning::default() };
    let unknown = QuarantineObject { concerning, ..object(unique, 1, "") };
    assert_eq!(ok(store.keep(&unknown).await), Commit::Written);
    assert_eq!(ok(store.find(&unknown.id).await), Some(unknown));

    let objects: Vec<_> = (2..BATCH).map(|number| object(unique, number, "x")).collect();
    for object in &objects {
        assert_eq!(ok(store.keep(object).await), Commit::Written);
    }
    let mut expected: Vec<QuarantineId> = (0..BATCH).map(|number| id(unique, number)).collect();
    expected.sort();
    let mut ids: Vec<QuarantineId> = Vec::new();
    loop {
        let page = ok(store.ids(&format!("{unique}-"), ids.last(), 10).await);
        assert!(page.len() <= 10);
        ids.extend_from_slice(&page);
        if page.len() < 10 {
            break;
        }
    }
    assert_eq!(ids, expected);
    let one = ok(store.ids(expected[3].as_str(), None, 10).await);
    assert_eq!(one, expected[3..4]);
    assert_eq!(ok(store.ids(&format!("{unique}-none"), None, 10).await), []);
}

fn id(unique: &str, number: usize) -> QuarantineId {
    QuarantineId::parse(&format!("{unique}-{number:04}"))
        .expect("`unique` is short and made of letters and digits")
}

fn object(unique: &str, number: usize, body: &str) -> QuarantineObject {
    QuarantineObject {
        id: id(unique, number),
        key: RedriveKey::new("conformance", &format!("e-{number}-{unique}")),
        attempt: Attempt { generation: 2, number: 6 },
        concerning: Concerning {
            consumer: "conformance".to_owned(),
            event_id: Some(event_id(unique, "event")),
            event_type: Some("orders.order-placed.v1".to_owned()),
            order_id: Some(order_id(unique, "order")),
        },
        reason: RedriveReason { code: "too_often".to_owned(), text: "why: \"ü\"".to_owned() },
        first_failed_at: instant(1),
        last_failed_at: instant(2),
        quarantined_at: instant(3),
        body: body.to_owned(),
    }
}
