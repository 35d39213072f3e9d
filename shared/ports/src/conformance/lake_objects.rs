use super::{ok, persist};
use crate::{Commit, EventLake, LakeObject, LakeObjects, StoredObject};

/// The suite of [`LakeObjects`], on what was written through an [`EventLake`] on the same store.
pub async fn lake_objects<L: EventLake, O: LakeObjects>(lake: &L, objects: &O, unique: &str) {
    what_was_written_is_listed_and_read(lake, objects, unique).await;
    what_was_removed_is_gone_and_can_come_back(lake, objects, unique).await;
    a_listing_is_complete(lake, objects, unique).await;
}

async fn what_was_written_is_listed_and_read<L: EventLake, O: LakeObjects>(
    lake: &L,
    objects: &O,
    unique: &str,
) {
    let prefix = format!("events/listing/{unique}/");
    assert_eq!(list(objects, &prefix).await, []);
    for name in ["b/2", "a/1", "c"] {
        write(lake, &format!("{prefix}{name}"), name.as_bytes()).await;
    }
    write(lake, &format!("events/listing/{unique}-other/a"), b"beside").await;
    let listed = list(objects, &prefix).await;
    let names: Vec<(&str, u64)> = listed
        .iter()
        .map(|object| (object.key.strip_prefix(&prefix).unwrap_or_default(), object.bytes))
        .collect();
    assert_eq!(names, [("a/1", 3), ("b/2", 3), ("c", 1)], "in the order of their keys, and nothing else");

    let key = format!("{prefix}digits");
    write(lake, &key, b"0123456789").await;
    let read = async |range| persist(async || objects.read(&key, Clone::clone(&range)).await).await;
    assert_eq!(read(None).await.as_deref(), Some(&b"0123456789"[..]));
    assert_eq!(read(Some(2..5)).await.as_deref(), Some(&b"234"[..]));
    assert_eq!(read(Some(8..100)).await.as_deref(), Some(&b"89"[..]), "a range ends with the object");
    assert_eq!(persist(async || objects.read(&format!("{key}-not"), None).await).await, None);
    assert_eq!(persist(async || objects.read(&format!("{key}-not"), Some(0..1)).await).await, None);
}

async fn what_was_removed_is_gone_and_can_come_back<L: EventLake, O: LakeObjects>(
    lake: &L,
    objects: &O,
    unique: &str,
) {
    let prefix = format!("events/removal/{unique}/");
    let [gone, stays, never] = ["gone", "stays", "never"].map(|name| format!("{prefix}{name}"));
    write(lake, &gone, b"1").await;
    write(lake, &stays, b"22").await;
    for time in ["once", "again"] {
        ok(objects.remove(&[gone.clone(), never.clone()]).await);
        let listed = list(objects, &prefix).await;
        assert_eq!(listed.iter().map(|object| &object.key).collect::<Vec<_>>(), [&stays], "removed {time}");
        assert_eq!(persist(async || objects.read(&gone, None).await).await, None, "removed {time}");
    }
    assert_eq!(ok(lake.write_once(object(&gone, b"333")).await), Commit::Written, "the key is free again");
    assert_eq!(persist(async || objects.read(&gone, None).await).await.as_deref(), Some(&b"333"[..]));
    ok(objects.remove(&[]).await);
}

async fn a_listing_is_complete<L: EventLake, O: LakeObjects>(lake: &L, objects: &O, unique: &str) {
    /// More than S3 lists, or removes, at once.
    const OBJECTS: usize = 1_001;
    let prefix = format!("events/many/{unique}/");
    let mut keys: Vec<String> = (0..OBJECTS).map(|number| format!("{prefix}{number:04}")).collect();
    for key in &keys {
        write(lake, key, b"").await;
    }
    let listed: Vec<String> = list(objects, &prefix).await.into_iter().map(|object| object.key).collect();
    assert!(listed == keys, "{} of {OBJECTS} objects are listed", listed.len());
    let last = keys.split_off(OBJECTS - 1);
    ok(objects.remove(&keys).await);
    let left: Vec<String> = list(objects, &prefix).await.into_iter().map(|object| object.key).collect();
    assert_eq!(left, last);
}

async fn list<O: LakeObjects>(objects: &O, prefix: &str) -> Vec<StoredObject> {
    persist(async || objects.list(prefix).await).await
}

async fn write<L: EventLake>(lake: &L, key: &str, body: &[u8]) {
    persist(async || lake.write_once(object(key, body)).await).await;
}

fn object(key: &str, body: &[u8]) -> LakeObject {
    LakeObject {
        key: key.to_owned(),
        body: body.to_vec(),
        content_type: "text/plain",
        content_encoding: None,
    }
}
