//! One who asks for much, and the others.

use mainstay_mvcc::{Command, Put};

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
