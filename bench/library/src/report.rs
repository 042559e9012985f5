//! Rounds, medians, a table.

use stats_alloc::Region;

use crate::{ALLOCATOR, Group};

/// Measures a group and prints its table.
pub fn print(group: &Group, rounds: usize, calls: u64) {
    println!("\n{}", group.name);
    println!("{:<44} {:>8} {:>8} {:>10} {:>12}", "", "ns/call", "± range", "× fastest", "allocs/call");
    let mut nanos = vec![Vec::new(); group.cases.len()];
    for case in &group.cases {
        (case.run)(calls / 10);
    }
    for round in 0..rounds {
        for turn in 0..group.cases.len() {
            let at = (turn + round) % group.cases.len();
            let took = (group.cases[at].run)(calls);
            nanos[at].push(took.as_nanos() as f64 / calls as f64);
        }
    }
    let rows: Vec<_> = group
        .cases
        .iter()
        .zip(nanos)
        .map(|(case, mut nanos)| {
            nanos.sort_by(f64::total_cmp);
            let region = Region::new(ALLOCATOR);
            (case.run)(calls);
            let allocations = region.change().allocations as f64 / calls as f64;
            (case.name, nanos[nanos.len() / 2], (nanos[nanos.len() - 1] - nanos[0]) / 2.0, allocations)
        })
        .collect();
    let rivals = rows.iter().filter(|(name, ..)| !name.starts_with("mainstay") && !name.starts_with("nothing"));
    let fastest = rivals.map(|(_, median, ..)| *median).fold(f64::INFINITY, f64::min);
    for (name, median, range, allocations) in rows {
        let ratio = if fastest.is_finite() { format!("{:.2}", median / fastest) } else { String::new() };
        println!("{name:<44} {median:>8.1} {range:>8.1} {ratio:>10} {allocations:>12.2}");
    }
}
