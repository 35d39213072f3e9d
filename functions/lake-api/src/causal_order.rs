use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// The positions of events, every cause before its effects, otherwise as given. A circle of causes, which only a faulty
/// producer makes, is broken at its first event. `events` are id and cause of each, by time and id.
pub(crate) fn causal_order(events: &[(&str, Option<&str>)]) -> Vec<usize> {
    let positions: BTreeMap<&str, usize> =
        events.iter().enumerate().map(|(position, (id, _))| (*id, position)).collect();
    let cause_of = |position: usize| events[position].1.and_then(|cause| positions.get(cause)).copied();
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
    use domain::{EventId, Fact, FactKind, OrderView, Timestamp};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_order_in_which_the_read_model_tells(
            parts in prop::collection::vec((0_i64..6, prop::option::of(0_usize..24)), 0..24),
        ) {
            let id = |number: usize| EventId::parse(&format!("e-{number:02}")).unwrap();
            let facts: Vec<Fact> = parts
                .iter()
                .enumerate()
                .map(|(number, (at, cause))| Fact {
                    event_id: id(number),
                    kind: FactKind::Placed,
                    at: Timestamp::from_unix_ms(*at),
                    caused_by: cause.map(id),
                })
                .collect();
            let mut view = OrderView::default();
            facts.iter().cloned().for_each(|fact| view.add(fact));
            let told: Vec<&str> = view.history().into_iter().map(|fact| fact.event_id.as_str()).collect();

            let mut sorted = facts.clone();
            sorted.sort_by(|one, other| (one.at, &one.event_id).cmp(&(other.at, &other.event_id)));
            let events: Vec<(&str, Option<&str>)> = sorted
                .iter()
                .map(|fact| (fact.event_id.as_str(), fact.caused_by.as_ref().map(EventId::as_str)))
                .collect();
            let ordered: Vec<&str> =
                causal_order(&events).into_iter().map(|position| events[position].0).collect();
            prop_assert_eq!(ordered, told);
        }
    }
}
