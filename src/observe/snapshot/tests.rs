//! Synthetic censuses: properties that need no sockets.

use headpin_slab::{SlabId, SlabReport, SlabState, SlicePlace};

use super::*;
use crate::observe::census::{ConnectionRow, HeadRow, Phase, PoolRow, Sizes, TrafficRow, WorkerRest, WorkerRows};
use crate::observe::labels::{HeadPolicy, SlabClass};

const CAPACITY: usize = 10 << 20;

fn slab(class: SlabClass, worker: usize, serial: u64, state: SlabState) -> SlabReport {
    SlabReport {
        id: SlabId { class, worker, serial },
        class,
        worker,
        state,
        capacity_bytes: CAPACITY,
        carved_bytes: 1,
        age_seconds: 2.0,
        slices: 1,
        heads: 1,
        head_bytes: 3,
    }
}

/// A worker whose tunnels hold heads in its one retired tls slab, and in its current tcp slab.
fn worker(index: usize, connections: usize) -> WorkerRows {
    let head = |class, nth: usize| HeadRow {
        slice: SlicePlace {
            slab: SlabId {
                class,
                worker: index,
                serial: 0,
            },
            offset: nth * 8,
            len: 8,
        },
        bytes: 3,
    };
    let row = |nth: usize| ConnectionRow {
        id: nth as u64 + 1,
        worker: index,
        peer: ([192, 0, 2, 7], 1024 + (nth % 60_000) as u16).into(),
        phase: Phase::Tunnel,
        is_closing: false,
        age_seconds: 1.5,
        idle_seconds: 0,
        tls: None,
        path: "/echo".into(),
        own_bytes: 5,
        tls_bytes: 0,
        relayed: [1, 2].map(|bytes| TrafficRow { bytes, frames: 1 }),
        pending: [0, 0],
        head: Some(head(SlabClass::Tls, nth)),
        upstream_head: Some(head(SlabClass::Tcp, nth)),
        last_slice: None,
    };
    WorkerRows {
        index,
        connections: (0..connections).map(row).collect(),
        rest: WorkerRest {
            slabs: vec![
                slab(SlabClass::Tls, index, 0, SlabState::Retired),
                slab(SlabClass::Tcp, index, 0, SlabState::Current),
            ],
            pools: SlabClass::ALL
                .map(|class| PoolRow {
                    class,
                    capacity: CAPACITY,
                    spares: 0,
                })
                .into(),
            upstream_slices: Vec::new(),
            sizes: Sizes {
                tunnel: 700,
                tls: 1100,
                relay: 64,
                head: 16,
                slice: 40,
                ..Sizes::default()
            },
        },
        pages: 1,
    }
}

fn census(workers: Vec<WorkerRows>, details: bool) -> Census {
    Census {
        workers,
        policy: HeadPolicy::Pin,
        overhead: Overhead {
            program: 6 << 20,
            resident: Some(1 << 30),
            allocator: None,
        },
        details,
    }
}

fn text(snapshot: &mut Snapshot) -> serde_json::Value {
    let bytes: Vec<u8> = snapshot.flatten().collect();
    serde_json::from_slice(&bytes).expect("JSON")
}

/// What is buffered is the graph and one piece, however long the text is.
#[test]
fn a_hundred_thousand_connections_take_a_few_hundred_bytes_each() {
    const CONNECTIONS: usize = 100_000;
    let ids = Ids::default();
    let mut snapshot = Snapshot::of(census(vec![worker(0, CONNECTIONS)], false), &ids);
    let each = snapshot.memory() / CONNECTIONS;
    assert!(each < 400, "{each} bytes a connection");
    let (mut longest, mut all) = (0, 0);
    for piece in snapshot.by_ref() {
        longest = longest.max(piece.capacity());
        all += piece.len();
    }
    assert!(longest < 80 << 10, "a piece of {longest} bytes");
    assert!(all > 100 * longest, "{all} bytes in all");
    let ids = snapshot.take_ids();
    assert!(ids.len() < CONNECTIONS + 20, "one entry a connection: {}", ids.len());
}

#[test]
fn the_counts_stand_first_and_are_right() {
    let mut snapshot = Snapshot::of(census(vec![worker(0, 3), worker(1, 2)], true), &Ids::default());
    assert_eq!(snapshot.mismatches(), Mismatches::default());
    let json = text(&mut snapshot);
    let len = |key: &str| json[key].as_array().map_or(0, Vec::len);
    assert_eq!(
        len("nodes"),
        json["snapshot"]["node_count"].as_u64().expect("a count") as usize * 7
    );
    assert_eq!(
        len("edges"),
        json["snapshot"]["edge_count"].as_u64().expect("a count") as usize * 3
    );
}

#[test]
fn a_slab_without_a_holder_is_counted_and_stays_in_the_file() {
    let mut lonely = worker(0, 1);
    lonely.rest.slabs.push(slab(SlabClass::Tls, 0, 9, SlabState::Retired));
    let mut snapshot = Snapshot::of(census(vec![lonely], true), &Ids::default());
    assert_eq!(snapshot.mismatches().unexplained, 1);
    let json = text(&mut snapshot);
    let strings = json["strings"].as_array().expect("strings");
    assert!(strings.iter().any(|text| text == "unexplained 0"), "{strings:?}");
}

#[test]
fn heads_whose_slab_has_gone_meanwhile_are_left_out() {
    let mut late = worker(0, 5);
    late.rest.slabs.remove(0);
    late.pages = 2;
    let mut snapshot = Snapshot::of(census(vec![late], true), &Ids::default());
    assert_eq!(
        snapshot.mismatches(),
        Mismatches {
            gone: 5,
            ..Mismatches::default()
        }
    );
    text(&mut snapshot);
}

#[test]
fn a_path_as_long_as_a_client_likes_is_cut() {
    let mut rows = worker(0, 1);
    rows.connections[0].path = format!("/{}é", "x".repeat(100_000)).into();
    let mut snapshot = Snapshot::of(census(vec![rows], true), &Ids::default());
    assert!(snapshot.memory() < 10_000, "{}", snapshot.memory());
    text(&mut snapshot);
}

#[test]
fn sizes_past_32_bits_are_divided() {
    let mut census = census(vec![worker(0, 1)], true);
    census.overhead.program = 9 << 32;
    let mut snapshot = Snapshot::of(census, &Ids::default());
    let json = text(&mut snapshot);
    let nodes = json["nodes"].as_array().expect("nodes");
    let code: u64 = nodes
        .chunks(7)
        .filter(|node| node[0] == 4)
        .map(|node| node[3].as_u64().expect("a size"))
        .sum();
    assert_eq!(code, 9 << 32);
}
