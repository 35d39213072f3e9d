use domain::{Attempt, RedriveKey};

use super::ok;
use crate::{Redrive, RedriveTargets, Target};

/// The suite of [`RedriveTargets`]. `consumer` has an empty queue that is the suite's alone. `arrived` says what came to
/// a target, each body with the attempt that travelled with it (`None` where it does not have to), and may wait for so
/// many. `envelope` makes an event of this id as the bus delivers one.
pub async fn redrive_targets<T: RedriveTargets>(
    targets: &T,
    consumer: &str,
    envelope: impl Fn(&str) -> String,
    arrived: impl AsyncFn(&Target, usize) -> Vec<(String, Option<Attempt>)>,
    unique: &str,
) {
    let consumer = Target::Consumer(consumer.to_owned());
    let attempts =
        [(0, 0), (0, 3), (1, 0), (2, 12)].map(|(generation, number)| Attempt { generation, number });
    for (index, attempt) in attempts.into_iter().enumerate() {
        let event_id = format!("redriven-{index}-{unique}");
        let (key, body) = (RedriveKey::new(consumer.name(), &event_id), envelope(&event_id));
        ok(targets.send(&consumer, &Redrive { key: &key, attempt, body: &body }).await);
        assert!(ok(targets.backlog(&consumer).await) > index as u64, "what was sent waits");
        let came = arrived(&consumer, index + 1).await;
        assert!(came.contains(&(body, Some(attempt))), "{attempt:?} did not arrive as it is: {came:?}");
    }
    let unknown = Target::Consumer("nobody".to_owned());
    let (key, body) = (RedriveKey::new("nobody", unique), envelope("unknown"));
    let redrive = Redrive { key: &key, attempt: attempts[0], body: &body };
    assert!(targets.send(&unknown, &redrive).await.is_err(), "what nobody gets is not sent");

    // A checkout starts once for a key and generation, whichever copy comes first.
    let event_id = format!("checkout-{unique}");
    let (key, body) = (RedriveKey::new("checkout", &event_id), envelope(&event_id));
    for attempt in [Attempt { generation: 0, number: 1 }, Attempt { generation: 0, number: 2 }] {
        ok(targets.send(&Target::Checkout, &Redrive { key: &key, attempt, body: &body }).await);
    }
    let other_copy = format!("{body} ");
    ok(targets
        .send(&Target::Checkout, &Redrive { key: &key, attempt: attempts[0], body: &other_copy })
        .await);
    let started =
        |came: &[(String, Option<Attempt>)]| came.iter().filter(|(text, _)| text.trim() == body).count();
    assert_eq!(started(&arrived(&Target::Checkout, 1).await), 1, "one checkout a generation");
    let released = Attempt { generation: 1, number: 0 };
    ok(targets.send(&Target::Checkout, &Redrive { key: &key, attempt: released, body: &body }).await);
    assert_eq!(started(&arrived(&Target::Checkout, 2).await), 2, "a release starts another");
    assert_eq!(ok(targets.backlog(&Target::Checkout).await), 0);

    let event_id = format!("bus-{unique}");
    let (key, body) = (RedriveKey::new("bus", &event_id), envelope(&event_id));
    let attempt = Attempt { generation: 1, number: 4 };
    ok(targets.send(&Target::Bus, &Redrive { key: &key, attempt, body: &body }).await);
    let came = arrived(&Target::Bus, 1).await;
    let is_it =
        |(text, carried): &(String, Option<Attempt>)| text.contains(&event_id) && *carried == Some(attempt);
    assert!(came.iter().any(is_it), "the event is on the bus, with its attempt: {came:?}");
}
