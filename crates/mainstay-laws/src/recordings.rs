//! Recordings: any bytes are events or damage with its place, and what is read from them is read again from what it is
//! written as.

use mainstay_core::Duration;
use mainstay_policy::recording::{Damage, Ending, Event, Head, Log, Recording, Told, file};
use mainstay_policy::{Entry, Output};

/// Reads `bytes` as a file, and as the events of one block in it: a checksum must not be what keeps them from being read.
pub(crate) fn recording(bytes: &[u8]) {
    if let Ok(recording) = Recording::open(bytes) {
        read(recording, bytes.len());
    }
    let around = framed(bytes);
    let first = read(Recording::open(&around).unwrap(), around.len());
    let mut log = Log::default();
    for event in &first {
        write(&mut log, event);
    }
    let again = framed(&log.take(Vec::new()));
    let second = read(Recording::open(&again).unwrap(), again.len());
    assert_eq!(format!("{first:?}"), format!("{second:?}"), "what was read is not what was written");
}

fn framed(events: &[u8]) -> Vec<u8> {
    let mut whole = file::begin(&Head { version: "any".into(), worker: 0, workers: 1 });
    file::block(events, &mut whole);
    file::end(Ending::Stopped, &mut whole);
    whole
}

/// All events, each of which takes some bytes.
fn read(mut recording: Recording<'_>, length: usize) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        match recording.next_event() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => {
                assert!(recording.ending().is_some(), "a recording that ends says why");
                return events;
            }
            Err(Damage::Torn { at } | Damage::Damaged { at }) => {
                assert!(at <= length as u64, "a place within {length} bytes: {at}");
                return events;
            }
            Err(_) => return events,
        }
        assert!(events.len() <= length, "an event out of nothing");
    }
}

fn write(log: &mut Log, event: &Event) {
    let entries: Vec<_> = event.said.decisions.iter().map(|&what| Entry { after: Duration::ZERO, what }).collect();
    let outputs: Vec<Option<Output>> = event.said.outputs.iter().copied().map(Some).collect();
    let (now, service, step, heard, answer) =
        (event.now, event.service, &event.step, &event.heard[..], event.said.answer);
    log.write(&Told { now, service, step, heard, entries: &entries, outputs: &outputs, answer });
}
