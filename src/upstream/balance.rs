//! Which server is tried next.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::server::{InUse, Server, hash};
use crate::config::Balance;

/// The servers that an upstream has now, and in which order they have their turn.
#[derive(Debug)]
pub struct ServerSet {
    /// Each address of each server.
    pub servers: Vec<Arc<Server>>,
    /// Places of `servers`, each as often as its weight says, evenly spread.
    turns: Vec<usize>,
}

/// Which servers one request goes to: chosen by its cookie or key, and none twice.
#[derive(Debug, Default)]
pub struct Plan {
    /// What the request's sticky cookie says.
    pub tag: Option<String>,
    /// The hash of what `hash_on` names.
    pub key: Option<u64>,
    /// Servers that were tried, by the id of their state.
    tried: Vec<u64>,
    /// The turn that the request has; trying another server takes no turn from another request.
    turn: Cell<Option<usize>>,
}

impl Plan {
    /// `server` was tried.
    pub fn tried(&mut self, server: &Server) {
        self.tried.push(server.state.id);
    }

    pub(super) fn has_tried(&self, server: &Server) -> bool {
        self.tried.contains(&server.state.id)
    }
}

/// What came of looking for a server.
#[derive(Debug)]
pub(super) enum Choice {
    /// A place in a server.
    Place(InUse),
    /// There are servers, and each has as many requests as it takes.
    Full,
    /// Every server was tried.
    None,
}

/// How servers are chosen.
#[derive(Debug)]
pub(super) struct Balancer {
    pub(super) balance: Balance,
    pub(super) slow_start: Option<Duration>,
    next: AtomicUsize,
}

impl ServerSet {
    pub(super) fn new(servers: Vec<Arc<Server>>) -> Self {
        let turns = turns(&servers.iter().map(|server| server.weight).collect::<Vec<_>>());
        Self { servers, turns }
    }
}

/// Smooth weighted round robin: each step, every weight is added to its server's credit, the highest has its turn, and pays
/// the sum. No server has two turns in a row where that can be avoided.
fn turns(weights: &[usize]) -> Vec<usize> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| (weight / divisor) as i64).collect();
    let sum: i64 = weights.iter().sum();
    let mut credits = vec![0; weights.len()];
    let turn = |_| {
        for (credit, weight) in credits.iter_mut().zip(&weights) {
            *credit += weight;
        }
        let highest = (0..credits.len()).rev().max_by_key(|at| credits[*at]).unwrap_or(0);
        credits[highest] -= sum;
        highest
    };
    (0..sum).map(turn).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Balancer {
    pub(super) fn new(balance: Balance, slow_start: Option<Duration>) -> Self {
        Self {
            balance,
            slow_start,
            next: AtomicUsize::new(0),
        }
    }

    /// A place in the next server of `plan`: the one of its cookie; else one that is up, as the balance says; else one that is
    /// not, for it may be back and there is nothing better to try. A drained one comes last.
    pub(super) fn choose(&self, set: &ServerSet, plan: &Plan) -> Choice {
        if let Some(tag) = &plan.tag
            && let Some(server) = set.servers.iter().find(|server| server.tag == *tag)
            && !plan.has_tried(server)
            && !server.state.is_unhealthy()
            && !server.state.is_down()
            && let Some(place) = server.reserve()
        {
            return Choice::Place(place);
        }
        let mut full: Vec<u64> = Vec::new();
        let ranks: [fn(&Server) -> bool; 3] = [
            |server| server.state.is_up(),
            |server| !server.state.is_draining.load(Ordering::Relaxed),
            |_| true,
        ];
        for rank in ranks {
            loop {
                let is_candidate =
                    |server: &Server| rank(server) && !plan.has_tried(server) && !full.contains(&server.state.id);
                let Some(server) = self.pick(set, plan, is_candidate) else {
                    break;
                };
                match server.reserve() {
                    Some(place) => return Choice::Place(place),
                    None => full.push(server.state.id),
                }
            }
            // What is up and full is waited for: a server that is down is no better.
            if !full.is_empty() {
                return Choice::Full;
            }
        }
        Choice::None
    }

    fn pick<'s>(
        &self,
        set: &'s ServerSet,
        plan: &Plan,
        is_candidate: impl Fn(&Server) -> bool,
    ) -> Option<&'s Arc<Server>> {
        match (self.balance, plan.key) {
            (Balance::Hash, Some(key)) => self.by_hash(set, key, is_candidate),
            (Balance::LeastConnections, _) => self.least(set, plan, is_candidate),
            (Balance::RandomTwo, _) => self.of_two(set, is_candidate),
            (Balance::RoundRobin | Balance::Hash, _) => self.in_turn(set, plan, is_candidate),
        }
    }

    fn turn(&self, plan: &Plan) -> usize {
        let turn = plan
            .turn
            .get()
            .unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed));
        plan.turn.set(Some(turn));
        turn
    }

    /// A server in slow start gives up turns that are not its yet.
    fn takes_its_turn(&self, server: &Server) -> bool {
        match server.state.share(self.slow_start) {
            share if share >= 1.0 => true,
            share => fastrand::f64() < share,
        }
    }

    fn in_turn<'s>(
        &self,
        set: &'s ServerSet,
        plan: &Plan,
        is_candidate: impl Fn(&Server) -> bool,
    ) -> Option<&'s Arc<Server>> {
        let (first, count) = (self.turn(plan), set.turns.len());
        let turns = || (0..count).map(|i| &set.servers[set.turns[(first + i) % count]]);
        let mut candidates = turns().filter(|server| is_candidate(server));
        candidates
            .find(|server| self.takes_its_turn(server))
            .or_else(|| turns().find(|server| is_candidate(server)))
    }

    fn least<'s>(
        &self,
        set: &'s ServerSet,
        plan: &Plan,
        is_candidate: impl Fn(&Server) -> bool,
    ) -> Option<&'s Arc<Server>> {
        // Of several that are equal, another one each time.
        let (first, count) = (self.turn(plan), set.servers.len());
        let servers = (0..count).map(|i| &set.servers[(first + i) % count]);
        let loads = servers
            .filter(|server| is_candidate(server))
            .map(|server| (server.load(self.slow_start), server));
        loads.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, server)| server)
    }

    fn of_two<'s>(&self, set: &'s ServerSet, is_candidate: impl Fn(&Server) -> bool) -> Option<&'s Arc<Server>> {
        let candidates: Vec<_> = set.servers.iter().filter(|server| is_candidate(server)).collect();
        let count = candidates.len();
        let first = fastrand::usize(..count.max(1));
        let one = *candidates.get(first)?;
        // Another one, each with the same chance.
        let two = candidates[(first + 1 + fastrand::usize(..(count - 1).max(1))) % count];
        let load = |server: &Server| server.load(self.slow_start);
        Some(if load(two) < load(one) { two } else { one })
    }

    /// Rendezvous hashing: each server draws a number for the key, and the highest has it. When one leaves, only its keys move.
    /// A weight raises the odds as it should (Schindelhauer and Schomaker, 2005).
    fn by_hash<'s>(
        &self,
        set: &'s ServerSet,
        key: u64,
        is_candidate: impl Fn(&Server) -> bool,
    ) -> Option<&'s Arc<Server>> {
        let candidates = set.servers.iter().filter(|server| is_candidate(server));
        let scores = candidates.map(|server| {
            // 53 bits are a fraction between 0 and 1, neither of them included.
            let drawn = ((hash(&(key, &server.tag)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            let weight = server.weight as f64 * server.state.share(self.slow_start);
            (weight / -drawn.ln(), server)
        });
        scores.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, server)| server)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::num::NonZeroUsize;

    use tokio::sync::Notify;

    use super::*;
    use crate::config::UpstreamServer;

    fn set(servers: &[(u16, usize)], most: Option<usize>) -> ServerSet {
        let freed = Arc::new(Notify::new());
        let server = |(port, weight): &(u16, usize)| {
            let config = UpstreamServer {
                url: format!("http://127.0.0.1:{port}").parse().unwrap(),
                weight: *weight,
                max_connections: most.and_then(NonZeroUsize::new),
            };
            Arc::new(Server::new("test", &config, None, None, &freed))
        };
        ServerSet::new(servers.iter().map(server).collect())
    }

    fn place(balancer: &Balancer, set: &ServerSet, plan: &Plan) -> InUse {
        match balancer.choose(set, plan) {
            Choice::Place(place) => place,
            other => panic!("{other:?}"),
        }
    }

    /// The places in `set` of servers chosen one after the other, none of them kept.
    fn order(balancer: &Balancer, set: &ServerSet, count: usize) -> Vec<usize> {
        let at = |place: InUse| set.servers.iter().position(|server| Arc::ptr_eq(server, &place.server));
        (0..count)
            .map(|_| at(place(balancer, set, &Plan::default())).unwrap())
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_down_is_tried_last_until_its_time_is_over() {
        let (set, balancer) = (
            set(&[(1, 1), (2, 1), (3, 1)], None),
            Balancer::new(Balance::RoundRobin, None),
        );
        assert_eq!(order(&balancer, &set, 4), [0, 1, 2, 0]);
        let five = Duration::from_secs(5);
        set.servers[2].state.pass_over(five, five);
        assert!(!order(&balancer, &set, 6).contains(&2));
        let mut plan = Plan::default();
        let mut tried = Vec::new();
        while let Choice::Place(place) = balancer.choose(&set, &plan) {
            plan.tried(&place.server);
            tried.push(place.server.state.id);
        }
        assert_eq!((tried.len(), tried[2]), (3, set.servers[2].state.id));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(order(&balancer, &set, 3).contains(&2));
    }

    #[test]
    fn turns_follow_the_weights_and_are_spread() {
        assert_eq!(turns(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&[2, 2]), [0, 1]);
        assert_eq!(turns(&[]), [0; 0]);
    }

    #[test]
    fn the_fewest_connections_for_the_weight_win() {
        let (set, balancer) = (
            set(&[(1, 1), (2, 2)], None),
            Balancer::new(Balance::LeastConnections, None),
        );
        let places: Vec<InUse> = (0..9).map(|_| place(&balancer, &set, &Plan::default())).collect();
        let of_second = places
            .iter()
            .filter(|place| Arc::ptr_eq(&place.server, &set.servers[1]));
        assert_eq!(of_second.count(), 6);
    }

    #[test]
    fn of_two_random_servers_the_idler_one_is_taken() {
        let (set, balancer) = (set(&[(1, 1), (2, 1)], None), Balancer::new(Balance::RandomTwo, None));
        let busy: Vec<_> = (0..3).map(|_| set.servers[0].reserve().unwrap()).collect();
        assert_eq!(order(&balancer, &set, 20), [1; 20]);
        drop(busy);
        let drawn = order(&balancer, &set, 200);
        assert!(drawn.contains(&0) && drawn.contains(&1));
    }

    #[test]
    fn a_hash_moves_only_the_keys_of_a_server_that_leaves() {
        let balancer = Balancer::new(Balance::Hash, None);
        let homes = |set: &ServerSet| -> HashMap<u64, u16> {
            let home = |key| {
                let plan = Plan {
                    key: Some(key),
                    ..Plan::default()
                };
                let place = place(&balancer, set, &plan);
                (
                    key,
                    place
                        .server
                        .url
                        .authority()
                        .rsplit(':')
                        .next()
                        .unwrap()
                        .parse()
                        .unwrap(),
                )
            };
            (0..4000).map(home).collect()
        };
        let before = homes(&set(&[(1, 1), (2, 1), (3, 2)], None));
        let after = homes(&set(&[(1, 1), (3, 2)], None));
        let share = |port| before.values().filter(|home| **home == port).count();
        assert!(
            (850..1150).contains(&share(1)) && (1850..2150).contains(&share(3)),
            "{}, {}",
            share(1),
            share(3)
        );
        for (key, home) in &before {
            assert!(*home == 2 || after[key] == *home, "{key} has moved");
        }
    }

    #[test]
    fn a_cookie_brings_a_request_back_while_its_server_is_up() {
        let (set, balancer) = (set(&[(1, 1), (2, 1)], None), Balancer::new(Balance::RoundRobin, None));
        let mut plan = Plan {
            tag: Some(set.servers[1].tag.clone()),
            ..Plan::default()
        };
        for _ in 0..3 {
            assert!(Arc::ptr_eq(&place(&balancer, &set, &plan).server, &set.servers[1]));
        }
        // A drained server keeps those who know it.
        set.servers[1].state.set_draining(true);
        assert!(Arc::ptr_eq(&place(&balancer, &set, &plan).server, &set.servers[1]));
        assert_eq!(order(&balancer, &set, 3), [0; 3]);
        plan.tried(&set.servers[1]);
        assert!(Arc::ptr_eq(&place(&balancer, &set, &plan).server, &set.servers[0]));
    }

    #[test]
    fn a_full_server_is_passed_by_and_full_ones_are_waited_for() {
        let (set, balancer) = (
            set(&[(1, 1), (2, 1)], Some(1)),
            Balancer::new(Balance::RoundRobin, None),
        );
        let one = place(&balancer, &set, &Plan::default());
        let two = place(&balancer, &set, &Plan::default());
        assert!(!Arc::ptr_eq(&one.server, &two.server));
        assert!(matches!(balancer.choose(&set, &Plan::default()), Choice::Full));
        drop(one);
        assert!(matches!(balancer.choose(&set, &Plan::default()), Choice::Place(_)));
    }
}
