//! Every number that `stats` shows can be seen to move.
//!
//! A scene is a small conversation and what it does to which numbers. Scenes are played on sessions
//! with a clock of their own, and on servers with sockets. The catalog says what there is: a
//! counter or a gauge that no scene moves fails the test with its name.
//!
//! ```text
//!   get_hits 2          rises by 2
//!   evictions +         rises
//!   bytes_read >1000    rises by more than 1000
//!   age -               falls
//!   items number ^      rises, and falls again
//!   accepting_conns v   falls, and rises again
//! ```
//!
//! A name without a group is of plain `stats`; what a group has by class is added up.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

#[path = "../support/clients.rs"]
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod page;
mod reading;
mod servers;
mod sessions;

use nuthatch::stats::{Kind, catalog};
use reading::Observed;
use std::collections::BTreeSet;

/// Something that happens, and what it moves.
pub(crate) struct Scene {
    /// What happens.
    what: &'static str,
    /// What it moves: the list of the header.
    moves: &'static [&'static str],
    play: fn() -> Observed,
}

/// Gauges that no scene moves, and why.
const STILL: &[(&str, &str)] = &[(
    "read_buf_count",
    "there is one for each worker, from the start",
)];

#[test]
fn each_scene_on_a_session_moves_what_it_says() {
    hold(sessions::SCENES);
}

#[test]
fn each_scene_on_a_server_moves_what_it_says() {
    hold(servers::SCENES);
}

fn hold(scenes: &[Scene]) {
    let mut complaints = vec![];
    for scene in scenes {
        let observed = (scene.play)();
        let complain = |what| format!("{}: {what}", scene.what);
        complaints.extend(observed.contradictions(scene.moves).map(complain));
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_counter_and_every_gauge_is_moved_by_a_scene() {
    let scenes = sessions::SCENES.iter().chain(servers::SCENES);
    let moves = scenes.flat_map(|scene| scene.moves);
    let moved: BTreeSet<_> = moves.map(|line| line.rsplit_once(' ').unwrap().0).collect();
    let still: BTreeSet<_> = STILL.iter().map(|(name, _)| *name).collect();
    let (mut unmoved, mut known) = (vec![], BTreeSet::new());
    for chapter in catalog() {
        let group = chapter.command.strip_prefix("stats").unwrap().trim();
        for about in chapter.lines {
            let name = format!("{group} {}", about.name).trim().to_string();
            let moves = matches!(about.kind, Kind::Counter | Kind::Gauge);
            let excused = about.kind == Kind::Gauge && still.contains(name.as_str());
            let can_move = moves && about.fixed.is_none();
            if can_move && !excused && !moved.contains(name.as_str()) {
                unmoved.push(name.clone());
            }
            known.insert(name);
        }
    }
    assert!(unmoved.is_empty(), "no scene moves {unmoved:?}");
    let unknown: Vec<_> = moved
        .union(&still)
        .filter(|name| !known.contains(**name))
        .collect();
    assert!(unknown.is_empty(), "not in the catalog: {unknown:?}");
}
