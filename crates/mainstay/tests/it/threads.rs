//! One service on many threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mainstay::{Adaptive, BulkheadSettings, Facts, Limit, Service};
use tokio::runtime::Builder;

#[test]
fn over_all_threads_no_more_run_than_may() {
    const CALLS: u32 = 2000;
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    let bulkhead = BulkheadSettings {
        concurrency: Limit::At(8),
        adaptive: Adaptive::Off,
        queue: CALLS,
        queue_timeout: mainstay::Duration::from_secs(60),
        ..BulkheadSettings::default()
    };
    let database = Service::builder("database")
        .bulkhead(bulkhead)
        .within(std::time::Duration::from_secs(60))
        .shards(4)
        .build()
        .unwrap();
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let (database, running, most) = (database.clone(), Arc::clone(&running), Arc::clone(&most));
            runtime.spawn(async move {
                let attempt = |_| async {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, ()>(())
                };
                database.call(Facts::once(), attempt).await
            })
        })
        .collect();
    // Where the machine is busy some wait too long and are refused; nobody is lost.
    let answered = calls.into_iter().map(|call| runtime.block_on(call).unwrap()).filter(Result::is_ok).count();
    assert!(most.load(Ordering::SeqCst) <= 8);
    let view = database.view();
    assert_eq!((view.in_flight, view.waiting), (0, 0));
    assert_eq!(view.endpoints[0].successes, answered as u64);
}
