use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// An event among others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a> {
    /// The id that its sender gave it. Several events can have it.
    pub(crate) id: &'a str,
    /// Whether its id is what it is known by, as only one of our own is.
    pub(crate) is_known_by_its_id: bool,
    /// The id of its cause.
    pub(crate) cause: Option<&'a str>,
}

/// The positions of events, every cause before its effects, otherwise as given. A circle of causes, which only a faulty
/// producer makes, is broken at its first event. `events` come by time and id.
///
/// Of several events with one id the cause is the one that is known by it, else the first.
pub(crate) fn causal_order(events: &[Node<'_>]) -> Vec<usize> {
    let mut positions: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, event) in events.iter().enumerate() {
        if event.is_known_by_its_id {
            positions.insert(event.id, position);
        } else {
            positions.entry(event.id).or_insert(position);
        }
    }
    let cause_of = |position: usize| events[position].cause.and_then(|cause| positions.get(cause)).copied();
    let mut effects: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut ready = BinaryHeap::new();
    let mut waiting: BTreeSet<usize> = BTreeSet::new();
    for position in 0..events.len() {
        match cause_of(position) {
            None => ready.push(Reverse(position)),
            Some(cause) => {
                effects.entry(cause).or_default().push(position);
                waiting.insert(position);
            }
        }
    }
    let mut order = Vec::with_capacity(events.len());
    while order.len() < events.len() {
        let next = match ready.pop() {
            Some(Reverse(next)) => next,
            // Only circles are left.
            None => match waiting.pop_first() {
                Some(next) => next,
                None => break,
            },
        };
        order.push(next);
        for effect in effects.remove(&next).unwrap_or_default() {
            if waiting.remove(&effect) {
                ready.push(Reverse(effect));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use domain::{EventId, Fact, FactClass, FactKind, OrderView, Timestamp};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_order_in_which_the_read_model_tells(
            parts in prop::collection::vec(
                (0_i64..6, prop::option::of(0_usize..24), prop::option::of(0_usize..24)), 0..24,
            ),
        ) {
            let id = |number: usize| EventId::parse(&format!("e-{number:02}")).unwrap();
            let facts: Vec<Fact> = parts
                .iter()
                .enumerate()
                // Some have another's id, and are known by something else.
                .map(|(number, (at, cause, claimed))| Fact {
                    identity: match claimed {
                        Some(_) => EventId::parse(&format!("identity-{number}")).unwrap(),
                        None => id(number),
                    },
                    event_id: id(claimed.unwrap_or(number)),
                    kind: FactKind::Placed,
                    class: FactClass::Own,
                    at: Timestamp::from_unix_ms(*at),
                    caused_by: cause.map(id),
                })
                .collect();
            let mut view = OrderView::default();
            facts.iter().cloned().for_each(|fact| view.add(fact));
            let told: Vec<&str> = view.history().into_iter().map(|fact| fact.identity.as_str()).collect();

            let mut sorted = facts.clone();
            sorted.sort_by(|one, other| {
                (one.at, &one.event_id, &one.identity).cmp(&(other.at, &other.event_id, &other.identity))
            });
            let events: Vec<Node<'_>> = sorted
                .iter()
                .map(|fact| Node {
                    id: fact.event_id.as_str(),
                    is_known_by_its_id: fact.identity == fact.event_id,
                    cause: fact.caused_by.as_ref().map(EventId::as_str),
                })
                .collect();
            let ordered: Vec<&str> =
                causal_order(&events).into_iter().map(|position| sorted[position].identity.as_str()).collect();
            prop_assert_eq!(ordered, told);
        }
    }
}
