//! In which order servers are registered with, and when a failure is a case for the bootstrap
//! server (lwm2m/10, 7: 1/x/13 to 1/x/16).
//!
//! Servers with a priority begin one after another, the lowest number first; the others begin at
//! once. It counts for the start: whoever has begun goes on by his own table.

use std::collections::VecDeque;

use lamplighter_model::Ssid;

use crate::registration::Enabler;

/// Servers whose turn has not come.
#[derive(Debug, Default)]
pub(super) struct Order {
    current: Option<Ssid>,
    waiting: VecDeque<Ssid>,
}

/// How far the registration with a server has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stand {
    /// Registered, suspended by the server, or left on purpose: nobody waits for it.
    Done,
    /// The table is through or the server has refused us; it is tried on.
    Failed,
    Trying,
}

/// What decides about a server that cannot be registered with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Rules {
    /// 1/x/16.
    pub(super) bootstrap: bool,
    pub(super) enabler: Enabler,
    /// 1/x/15.
    pub(super) blocks: bool,
    pub(super) is_ordered: bool,
}

impl Order {
    /// `servers` with their priorities. Of equal ones the lower id begins (the order is free).
    pub(super) fn new(servers: impl IntoIterator<Item = (u32, Ssid)>) -> Self {
        let mut servers: Vec<_> = servers.into_iter().collect();
        servers.sort_unstable();
        Self {
            current: None,
            waiting: servers.into_iter().map(|(_, ssid)| ssid).collect(),
        }
    }

    /// The server that is to begin now. `stand` says how far a server is and whether its failure
    /// holds back the later ones; `None` where it has been removed.
    pub(super) fn next(&mut self, stand: impl Fn(Ssid) -> Option<(Stand, bool)>) -> Option<Ssid> {
        let is_over = |ssid| match stand(ssid) {
            None | Some((Stand::Done, _) | (Stand::Failed, false)) => true,
            Some((Stand::Failed, true) | (Stand::Trying, _)) => false,
        };
        if !self.current.is_none_or(is_over) {
            return None;
        }
        self.current = self.waiting.pop_front();
        self.current
    }
}

/// Whether a failure makes a bootstrap due. Once all have failed it is, and 1/x/16 lets a single
/// server cause it; of ordered servers only one that blocks the others. 1.0 has only the first rule.
pub(super) fn is_bootstrap_due(failed: Rules, mut others: impl Iterator<Item = Stand>) -> bool {
    let is_alone = failed.enabler >= Enabler::V1_1 && (failed.blocks || !failed.is_ordered);
    failed.bootstrap && (is_alone || others.all(|stand| stand == Stand::Failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        bootstrap: true,
        enabler: Enabler::V1_2,
        blocks: false,
        is_ordered: false,
    };

    /// Who begins while the others stand as given.
    fn begun(order: &mut Order, stands: &[(u16, Stand, bool)]) -> Vec<u16> {
        let stand = |ssid: Ssid| {
            let found = stands.iter().find(|(of, ..)| *of == ssid.0)?;
            Some((found.1, found.2))
        };
        std::iter::from_fn(|| order.next(stand))
            .map(|ssid| ssid.0)
            .collect()
    }

    fn order() -> Order {
        Order::new([(7, Ssid(30)), (1, Ssid(20)), (7, Ssid(10))])
    }

    #[test]
    fn servers_begin_one_after_another_by_priority() {
        use Stand::{Done, Trying};
        let mut order = order();
        let all = [
            (20, Trying, false),
            (10, Trying, false),
            (30, Trying, false),
        ];
        assert_eq!(begun(&mut order, &all), [20]);
        assert_eq!(begun(&mut order, &all), [0; 0]);
        let all = [(20, Done, false), (10, Trying, false), (30, Trying, false)];
        assert_eq!(begun(&mut order, &all), [10]);
        let all = [(20, Trying, false), (10, Done, false), (30, Trying, false)];
        assert_eq!(begun(&mut order, &all), [30], "the first began long ago");
        assert_eq!(begun(&mut order, &all), [0; 0]);
    }

    #[test]
    fn a_failure_holds_back_the_others_only_where_it_shall() {
        use Stand::{Done, Failed, Trying};
        let mut free = order();
        let all = [
            (20, Failed, false),
            (10, Trying, false),
            (30, Trying, false),
        ];
        assert_eq!(begun(&mut free, &all), [20, 10]);
        let mut blocked = order();
        let all = [(20, Failed, true), (10, Trying, false), (30, Trying, false)];
        assert_eq!(begun(&mut blocked, &all), [20]);
        let all = [(20, Done, true), (10, Trying, false), (30, Trying, false)];
        assert_eq!(begun(&mut blocked, &all), [10]);
    }

    #[test]
    fn a_server_that_was_removed_holds_back_nobody() {
        let mut order = order();
        assert_eq!(
            begun(&mut order, &[(30, Stand::Trying, true)]),
            [20, 10, 30]
        );
    }

    #[test]
    fn one_server_that_fails_causes_a_bootstrap_unless_it_says_otherwise() {
        use Stand::{Done, Failed, Trying};
        let due = |rules, others: &[Stand]| is_bootstrap_due(rules, others.iter().copied());
        assert!(due(RULES, &[Done]));
        let never = Rules {
            bootstrap: false,
            ..RULES
        };
        assert!(!due(never, &[Failed]));
        let ordered = Rules {
            is_ordered: true,
            ..RULES
        };
        assert!(!due(ordered, &[Done]) && !due(ordered, &[Trying]));
        assert!(due(ordered, &[Failed]) && due(ordered, &[]));
        assert!(due(
            Rules {
                blocks: true,
                ..ordered
            },
            &[Done]
        ));
        let old = Rules {
            enabler: Enabler::V1_0,
            ..RULES
        };
        assert!(!due(old, &[Done]) && due(old, &[Failed]));
    }
}
