use futures_util::future::join_all;

use super::{RACERS, ok, persist};
use crate::{Commit, EventLake, LakeObject};

/// The suite of [`EventLake`]. `body` reads what is under a key.
pub async fn event_lake<L: EventLake>(lake: &L, body: impl AsyncFn(&str) -> Option<Vec<u8>>, unique: &str) {
    an_object_is_never_replaced(lake, &body, unique).await;
    of_racing_writers_one_writes(lake, &body, unique).await;
}

async fn an_object_is_never_replaced<L: EventLake>(
    lake: &L,
    body: &impl AsyncFn(&str) -> Option<Vec<u8>>,
    unique: &str,
) {
    let key = format!("events/conformance/{unique}/once=1/object.json.zst");
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    assert_eq!(ok(lake.write_once(object(&key, &bytes)).await), Commit::Written);
    assert_eq!(ok(lake.write_once(object(&key, &bytes)).await), Commit::Existing(()), "the same again");
    assert_eq!(ok(lake.write_once(object(&key, b"other")).await), Commit::Existing(()), "the key is taken");
    assert_eq!(body(&key).await, Some(bytes), "the first object stays");
}

async fn of_racing_writers_one_writes<L: EventLake>(
    lake: &L,
    body: &impl AsyncFn(&str) -> Option<Vec<u8>>,
    unique: &str,
) {
    let key = format!("events/conformance/{unique}/race/object.json.zst");
    let bodies: Vec<Vec<u8>> = (0..RACERS).map(|racer| racer.to_string().into_bytes()).collect();
    let write = |bytes: &Vec<u8>| {
        let object = object(&key, bytes);
        persist(async move || lake.write_once(object.clone()).await)
    };
    let answers = join_all(bodies.iter().map(write)).await;
    let written: Vec<&Vec<u8>> = bodies
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| **answer == Commit::Written)
        .map(|(body, _)| body)
        .collect();
    // None is possible too: a writer whose answer was lost finds its own object.
    assert!(written.len() <= 1, "{} racers believe to have written", written.len());
    let stands = body(&key).await;
    assert!(stands.as_ref().is_some_and(|body| bodies.contains(body)));
    if let Some(written) = written.first() {
        assert_eq!(stands.as_ref(), Some(*written), "whoever was told so wrote it");
    }
}

fn object(key: &str, body: &[u8]) -> LakeObject {
    LakeObject {
        key: key.to_owned(),
        body: body.to_vec(),
        content_type: "application/json",
        content_encoding: Some("zstd"),
    }
}
