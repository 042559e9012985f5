//! One who asks for much, and the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_mvcc::{Command, Put, Range, Span};

use crate::stage::{Cluster, set};

/// What the greedy one writes: four of them fill a batch.
const LARGE: usize = 256 << 10;

#[tokio::test]
async fn one_who_has_hundreds_of_writes_waiting_is_not_waited_for() {
    let cluster = Cluster::of(1).await;
    let greedy = cluster.any().clone();
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..400 {
        let (greedy, key) = (greedy.clone(), format!("greedy-{number}"));
        waiting.spawn(async move {
            let put = Put { key: key.into(), value: Some(vec![0; LARGE].into()), lease: Some(0), previous: false };
            greedy.propose(Command::Put(put)).await.unwrap();
        });
    }
    let modest = cluster.any().apart();
    let mut asked = Vec::new();
    for number in 0..10 {
        waiting.join_next().await.unwrap().unwrap();
        let before = modest.header().revision;
        asked.push(set(&modest, "modest", &number.to_string()).await - before);
    }
    // Three batches may be under way, and its own is the fourth; the greedy one has sixty-four in line.
    assert!(asked.iter().all(|waited| *waited <= 24), "{asked:?}");
    assert!(!waiting.is_empty(), "the greedy one has more to come");
    while let Some(done) = waiting.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn one_who_reads_everything_again_and_again_is_not_waited_for() {
    let cluster = Cluster::of(1).await;
    for number in 0..20 {
        let puts = (0..100).map(|at| {
            let key = format!("key-{number}-{at}").into();
            mainstay_mvcc::Op::Put(Put { key, value: Some("v".into()), lease: Some(0), previous: false })
        });
        let txn = mainstay_mvcc::Txn { then: puts.collect(), ..Default::default() };
        cluster.any().propose(Command::Txn(txn)).await.unwrap();
    }
    let read = Arc::new(AtomicUsize::new(0));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (greedy, read) = (cluster.any().clone(), Arc::clone(&read));
        waiting.spawn(async move {
            greedy.read_in_turn(&Range::all(Span::prefix("key-"))).await.unwrap();
            read.fetch_add(1, Ordering::Relaxed);
        });
    }
    let modest = cluster.any().apart();
    for _ in 0..10 {
        waiting.join_next().await.unwrap().unwrap();
        let before = read.load(Ordering::Relaxed);
        modest.read_in_turn(&Range::all(Span::prefix("key-"))).await.unwrap();
        let waited = read.load(Ordering::Relaxed) - before;
        assert!(waited <= 2, "{waited} of the others went before");
    }
    assert!(!waiting.is_empty(), "the greedy one has more to come");
}
