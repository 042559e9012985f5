//! Watches: what they bring, and what they never do.

use std::time::Duration;

use mainstay_store::etcd::Settings;
use mainstay_store::etcd::wire::etcdserverpb as pb;
use pb::watch_create_request::FilterType;

use crate::support::{line, store, store_with, watch, watch_prefix};

#[tokio::test]
async fn a_watch_is_created_first_and_then_brings_what_happens() {
    let store = store().await;
    store.put("a", "old").await;
    let mut watches = store.watch([watch("a")]).await;
    let created = watches.next().await;
    assert!(created.created && !created.canceled, "{created:?}");
    assert_eq!((created.watch_id, created.header.as_ref().unwrap().revision), (0, 2));
    store.put("b", "another").await;
    store.put("a", "1").await;
    store.delete("a").await;
    assert_eq!(watches.events().await, ["put a=1 @4"]);
    let deleted = watches.next().await.events.remove(0);
    assert_eq!(line(&deleted), "del a= @5");
    let kv = deleted.kv.unwrap();
    assert_eq!((kv.create_revision, kv.version, kv.lease), (0, 0, 0), "of what is gone, its name and when");
}

#[tokio::test]
async fn from_a_past_revision_everything_is_brought_in_order_and_then_what_comes() {
    let store = store().await;
    for value in ["1", "2", "3"] {
        store.put("k/a", value).await;
    }
    store.delete("k/a").await;
    let from = pb::WatchCreateRequest { start_revision: 3, prev_kv: true, ..watch_prefix("k/") };
    let mut watches = store.watch([from]).await;
    watches.created().await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(watches.events().await);
    }
    assert_eq!(seen, ["put k/a=2 @3 was 1", "put k/a=3 @4 was 2", "del k/a= @5 was 3"]);
    store.put("k/b", "new").await;
    assert_eq!(watches.events().await, ["put k/b=new @6"]);
}

#[tokio::test]
async fn a_watch_of_the_future_brings_nothing_earlier() {
    let store = store().await;
    let mut watches = store.watch([pb::WatchCreateRequest { start_revision: 4, ..watch("a") }]).await;
    watches.created().await;
    for value in ["2", "3", "4", "5"] {
        store.put("a", value).await;
    }
    assert_eq!(watches.events().await[0], "put a=4 @4");
}

#[tokio::test]
async fn many_watches_share_a_stream_and_ids_are_chosen_by_either_side() {
    let store = store().await;
    let chosen = |watch_id| pb::WatchCreateRequest { watch_id, ..watch("a") };
    let mut watches = store.watch([watch("a"), chosen(1), watch("b"), chosen(1)]).await;
    assert_eq!([watches.created().await, watches.created().await, watches.created().await], [0, 1, 2]);
    let twice = watches.next().await;
    assert!(twice.created && twice.canceled && twice.watch_id == -1, "{twice:?}");
    assert_eq!(twice.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
    store.put("a", "1").await;
    let mut ids = [watches.next().await.watch_id, watches.next().await.watch_id];
    ids.sort_unstable();
    assert_eq!(ids, [0, 1]);
    watches.cancel(0).await;
    let canceled = watches.next().await;
    assert_eq!((canceled.watch_id, canceled.canceled, canceled.created), (0, true, false));
    watches.cancel(404).await;
    store.put("a", "2").await;
    assert_eq!(watches.next().await.watch_id, 1, "what was cancelled brings no more, and an unknown one no answer");
    let nothing = pb::WatchCreateRequest { range_end: "a".into(), ..watch("b") };
    watches.create(nothing).await;
    assert_eq!(watches.next().await.cancel_reason, "mvcc: watcher range is empty");
}

#[tokio::test]
async fn what_is_filtered_is_not_brought() {
    let store = store().await;
    let only = |filter: FilterType| pb::WatchCreateRequest { filters: vec![filter.into()], ..watch("a") };
    let mut puts = store.watch([only(FilterType::Nodelete)]).await;
    let mut deletes = store.watch([only(FilterType::Noput)]).await;
    puts.created().await;
    deletes.created().await;
    store.put("a", "1").await;
    store.delete("a").await;
    store.put("a", "2").await;
    assert_eq!(puts.events().await, ["put a=1 @2"]);
    assert_eq!(puts.events().await, ["put a=2 @4"]);
    assert_eq!(deletes.events().await, ["del a= @3"]);
}

#[tokio::test]
async fn a_watch_of_what_is_forgotten_is_created_and_ends_without_an_event() {
    let store = store().await;
    for value in ["1", "2", "3"] {
        store.put("a", value).await;
    }
    store.delete("a").await;
    store.compact(5).await;
    let mut watches = store.watch([pb::WatchCreateRequest { start_revision: 4, ..watch("a") }]).await;
    assert_eq!(watches.created().await, 0);
    let end = watches.next().await;
    assert!(end.canceled && end.events.is_empty() && !end.created, "{end:?}");
    assert_eq!(end.compact_revision, 5);
    watches.create(pb::WatchCreateRequest { start_revision: 5, ..watch("a") }).await;
    watches.created().await;
    assert_eq!(watches.events().await, ["del a= @5"], "the deletion at the revision of the compaction is remembered");
}

#[tokio::test]
async fn who_asks_how_far_all_watches_are_hears_it_after_what_happened() {
    let store = store().await;
    let mut watches = store.watch([watch("a"), watch_prefix("k/")]).await;
    watches.created().await;
    watches.created().await;
    store.put("a", "1").await;
    let revision = store.put("other", "1").await;
    watches.progress().await;
    let mut last = 0;
    loop {
        let response = watches.next().await;
        if response.watch_id == -1 {
            let told = response.header.unwrap().revision;
            assert!(response.events.is_empty() && told <= revision, "{told}");
            assert!(last == 2 || told < 2, "told of {told} before its event was brought");
            if told == revision {
                break;
            }
            watches.progress().await;
        } else {
            last = response.events[0].kv.as_ref().unwrap().mod_revision;
        }
    }
}

#[tokio::test]
async fn who_has_no_watch_hears_how_far_the_store_is() {
    let store = store().await;
    store.put("a", "1").await;
    let mut watches = store.watch([]).await;
    watches.progress().await;
    let far = watches.next().await;
    assert_eq!((far.watch_id, far.header.unwrap().revision), (-1, 2));
}

#[tokio::test]
async fn a_quiet_watch_tells_how_far_it_is() {
    let store = store_with(Settings { progress: Duration::from_millis(100), ..Settings::default() }).await;
    store.put("other", "1").await;
    let quiet = pb::WatchCreateRequest { progress_notify: true, ..watch("a") };
    let mut watches = store.watch([watch("a"), quiet]).await;
    watches.created().await;
    watches.created().await;
    let far = watches.next().await;
    assert!(far.events.is_empty() && !far.canceled, "{far:?}");
    assert_eq!((far.watch_id, far.header.unwrap().revision), (1, 2), "only the one that asked for it");
}

#[tokio::test]
async fn a_large_answer_comes_in_fragments_to_who_takes_them_and_whole_to_others() {
    let store = store_with(Settings { max_request: 4096, ..Settings::default() }).await;
    for number in 0..8 {
        store.put(&format!("k/{number}"), &"x".repeat(1500)).await;
    }
    let past = |fragment| pb::WatchCreateRequest { start_revision: 2, fragment, ..watch_prefix("k/") };
    let mut whole = store.watch([past(false)]).await;
    whole.created().await;
    let response = whole.next().await;
    assert_eq!((response.events.len(), response.fragment), (8, false));
    let mut watches = store.watch([past(true)]).await;
    watches.created().await;
    let mut pieces = Vec::new();
    loop {
        let piece = watches.next().await;
        pieces.push((piece.events.len(), piece.fragment));
        if !piece.fragment {
            break;
        }
    }
    assert_eq!(pieces, [(2, true), (2, true), (2, true), (2, false)]);
}

#[tokio::test]
async fn a_member_that_stops_ends_its_watches_at_once() {
    let store = store().await;
    let mut watches = store.watch([watch("a")]).await;
    watches.created().await;
    store.stop().await;
    assert!(watches.answer().await.is_none_or(|answer| answer.is_err()));
}
