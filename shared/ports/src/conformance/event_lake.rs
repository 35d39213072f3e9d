use futures_util::future::join_all;

use super::{ATTEMPTS_MAX, RACERS, assert_permanent, ok};
use crate::{Commit, EventLake, LakeObject, PortError, Retry};

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
    assert_permanent(lake.write_once(object(&key, b"other")).await);
    assert_eq!(body(&key).await, Some(bytes), "the first object stays");
}

async fn of_racing_writers_one_writes<L: EventLake>(
    lake: &L,
    body: &impl AsyncFn(&str) -> Option<Vec<u8>>,
    unique: &str,
) {
    let key = format!("events/conformance/{unique}/race/object.json.zst");
    let bodies: Vec<Vec<u8>> = (0..RACERS).map(|racer| racer.to_string().into_bytes()).collect();
    let answers = join_all(bodies.iter().map(|bytes| settle(lake, object(&key, bytes)))).await;
    let stands = body(&key).await;
    assert!(stands.as_ref().is_some_and(|body| bodies.contains(body)));
    for (body, answer) in bodies.iter().zip(answers) {
        // A writer whose answer was lost finds its own object.
        match answer {
            Ok(_) => assert_eq!(stands.as_ref(), Some(body), "whoever was told so wrote it"),
            Err(_) => {
                assert_ne!(stands.as_ref(), Some(body), "its own object is not another's");
                assert_permanent(answer);
            }
        }
    }
}

/// The last answer of a writer that is told to try again.
async fn settle<L: EventLake>(lake: &L, object: LakeObject) -> Result<Commit<()>, PortError> {
    let mut answer = lake.write_once(object.clone()).await;
    for _ in 0..ATTEMPTS_MAX {
        match &answer {
            Err(error) if error.retry == Retry::Transient => answer = lake.write_once(object.clone()).await,
            _ => break,
        }
    }
    answer
}

fn object(key: &str, body: &[u8]) -> LakeObject {
    LakeObject {
        key: key.to_owned(),
        body: body.to_vec(),
        content_type: "application/json",
        content_encoding: Some("zstd"),
    }
}
