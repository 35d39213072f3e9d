use domain::{Closing, OrderId, Reservation, Shortage, Sku, StockDecision, StockEnd, StockLevel, StockLine};
use futures_util::future::{join, join_all};

use super::{RACERS, Racer, assert_permanent, event_id, instant, line, ok, order_id, persist, sku};
use crate::{Commit, Decided, PortError, Reserve, StockCounts, StockStore};

/// The suite of [`StockStore`] and [`StockCounts`] on one store.
pub async fn stock_store<S: StockStore + StockCounts>(store: &S, unique: &str) {
    let suite = Suite { store, unique };
    suite.a_count_keeps_what_is_reserved_and_shipped().await;
    suite.levels_are_in_the_order_of_the_skus().await;
    suite.every_line_is_reserved().await;
    suite.one_short_line_leaves_everything_as_it_was().await;
    suite.a_known_order_is_answered_with_what_stands().await;
    suite.a_promise_ends_once().await;
    suite.what_is_not_promised_does_not_end().await;
    suite.the_largest_order_is_one_step().await;
    suite.what_is_more_than_one_step_is_refused().await;
    suite.an_order_may_be_named_as_a_sku_is().await;
    suite.of_racing_decisions_one_stands().await;
    suite.of_racing_ends_one_stands().await;
    suite.racing_orders_are_promised_what_there_is_and_no_more().await;
    suite.racing_counts_lose_no_reservation().await;
}

struct Suite<'a, S> {
    store: &'a S,
    unique: &'a str,
}

/// What can be decided about an unknown order.
const DECISIONS: [fn(&[StockLine]) -> StockDecision; 3] = [
    |lines| StockDecision::Reserved(lines.to_vec()),
    |lines| StockDecision::Rejected(shortages(lines)),
    |_| StockDecision::Barred,
];

const ENDS: [StockEnd; 2] = [StockEnd::Released, StockEnd::Shipped];

impl<S: StockStore + StockCounts> Suite<'_, S> {
    async fn a_count_keeps_what_is_reserved_and_shipped(&self) {
        let sku = self.sku("count");
        assert_eq!(self.count(&sku, 10).await, level(10, 0, 0));
        let (to_ship, to_hold) = (self.order("count-ship"), self.order("count-hold"));
        ok(self.reserve(&to_ship, &[line(&sku, 2)], &self.racer(1)).await);
        ok(self.reserve(&to_hold, &[line(&sku, 3)], &self.racer(2)).await);
        ok(self.close(&to_ship, StockEnd::Shipped, &[line(&sku, 2)], &self.racer(3)).await);
        assert_eq!(self.count(&sku, 20).await, level(20, 3, 2));
        assert_eq!(self.count(&sku, 0).await, level(0, 3, 2));
        assert_eq!(self.level(&sku).await, level(0, 3, 2));
    }

    async fn levels_are_in_the_order_of_the_skus(&self) {
        let skus = ["sort-b", "sort-c", "sort-B", "sort-a"].map(|name| self.sku(name));
        for sku in &skus {
            self.count(sku, 1).await;
        }
        let levels = ok(self.store.levels().await);
        assert!(levels.is_sorted_by(|(one, _), (next, _)| one < next), "by SKU, each once");
        let is_there = |sku: &Sku| levels.iter().any(|(other, level)| other == sku && level.available == 1);
        assert!(skus.iter().all(is_there));
    }

    async fn every_line_is_reserved(&self) {
        let (one, other, order) = (self.sku("each-1"), self.sku("each-2"), self.order("each"));
        self.count(&one, 5).await;
        self.count(&other, 7).await;
        // Exactly all there is of the second.
        let lines = [line(&other, 7), line(&one, 2)];
        let by = self.racer(1);
        assert_eq!(self.find(&order).await, None, "nothing is known of a new order");
        assert_eq!(ok(self.reserve(&order, &lines, &by).await), Reserve::Reserved);
        assert_eq!(self.find(&order).await, Some(reservation(DECISIONS[0](&lines), &by)));
        assert_eq!(self.level(&one).await, level(3, 2, 0));
        assert_eq!(self.level(&other).await, level(0, 7, 0));
    }

    async fn one_short_line_leaves_everything_as_it_was(&self) {
        let [plenty, short, unknown] = ["short-1", "short-2", "short-3"].map(|name| self.sku(name));
        let order = self.order("short");
        self.count(&plenty, 9).await;
        self.count(&short, 1).await;
        let lines = [line(&short, 2), line(&plenty, 1), line(&unknown, 3)];
        let expected = [(&lines[0], 1), (&lines[2], 0)].map(|(line, available)| Shortage {
            sku: line.sku.clone(),
            requested: line.quantity,
            available,
        });
        for _ in 0..2 {
            let answer = ok(self.reserve(&order, &lines, &self.racer(1)).await);
            assert_eq!(answer, Reserve::Short(expected.to_vec()), "the short lines and no other");
            assert_eq!(self.find(&order).await, None, "nothing is written");
            assert_eq!(self.level(&plenty).await, level(9, 0, 0), "nothing is promised");
            assert_eq!(self.level(&short).await, level(1, 0, 0), "nothing is promised");
        }
        assert!(
            !self.levels().await.iter().any(|(sku, _)| *sku == unknown),
            "no SKU comes to be by being asked for"
        );
    }

    async fn a_known_order_is_answered_with_what_stands(&self) {
        // With nothing left, and with plenty: what is in stock plays no part.
        for available in [0, 50] {
            for (number, decision_of) in DECISIONS.iter().enumerate() {
                let name = format!("known-{number}-{available}");
                let (sku, order) = (self.sku(&name), self.order(&name));
                let lines = [line(&sku, 4)];
                let (first, second) = (self.racer(1), self.racer(2));
                self.count(&sku, 4).await;
                assert!(is_written(&ok(self.decide(&order, &decision_of(&lines), &first).await)), "{name}");
                let stands = reservation(decision_of(&lines), &first);
                assert_eq!(self.find(&order).await, Some(stands.clone()), "{name}");
                let before = self.count(&sku, available).await;

                for again in [&first, &second] {
                    // The same again, and a changed one: the order is known, whatever is asked for.
                    for lines in [&lines, &[line(&sku, 1)]] {
                        for other in DECISIONS {
                            let answer = ok(self.decide(&order, &other(lines), again).await);
                            assert_eq!(answer, Reserve::Existing(stands.clone()), "{name}");
                        }
                    }
                }
                assert_eq!(self.find(&order).await, Some(stands), "{name}");
                assert_eq!(self.level(&sku).await, before, "{name}");
            }
        }
    }

    async fn a_promise_ends_once(&self) {
        for end in ENDS {
            let name = format!("end-{end:?}");
            let order = self.order(&name);
            let skus = ["1", "2"].map(|number| self.sku(&format!("{name}-{number}")));
            let lines = [line(&skus[0], 3), line(&skus[1], 4)];
            for sku in &skus {
                self.count(sku, 10).await;
            }
            ok(self.reserve(&order, &lines, &self.racer(1)).await);

            let by = self.racer(2);
            let closing = Closing { end, decided_by: by.event_id.clone(), decided_at: instant(by.number) };
            let stands =
                Reservation { closing: Some(closing), ..reservation(DECISIONS[0](&lines), &self.racer(1)) };
            assert_eq!(ok(self.close(&order, end, &lines, &by).await), Commit::Written);
            let expected = match end {
                StockEnd::Released => [level(10, 0, 0), level(10, 0, 0)],
                StockEnd::Shipped => [level(7, 0, 3), level(6, 0, 4)],
            };
            let levels = [self.level(&skus[0]).await, self.level(&skus[1]).await];
            assert_eq!(levels, expected, "{end:?}");

            // Someone else holds enough of each that a second closing could take it.
            let other = self.order(&format!("{name}-other"));
            ok(self.reserve(&other, &lines, &self.racer(3)).await);
            let levels = [self.level(&skus[0]).await, self.level(&skus[1]).await];
            for again in [&by, &self.racer(4)] {
                for other_end in ENDS {
                    let answer = ok(self.close(&order, other_end, &lines, again).await);
                    assert_eq!(answer, Commit::Existing(stands.clone()), "{other_end:?} after {end:?}");
                }
                for decision in DECISIONS {
                    let answer = ok(self.decide(&order, &decision(&lines), again).await);
                    assert_eq!(answer, Reserve::Existing(stands.clone()), "known for ever");
                }
            }
            assert_eq!([self.level(&skus[0]).await, self.level(&skus[1]).await], levels, "nothing moved");
            assert_eq!(self.find(&order).await, Some(stands));
        }
    }

    async fn what_is_not_promised_does_not_end(&self) {
        let sku = self.sku("unpromised");
        let lines = [line(&sku, 1)];
        self.count(&sku, 10).await;
        // Someone else holds enough that a wrong closing could take it.
        ok(self.reserve(&self.order("unpromised-other"), &[line(&sku, 5)], &self.racer(1)).await);
        for end in ENDS {
            for decision_of in &DECISIONS[1..] {
                let decision = decision_of(&lines);
                let order = self.order(if decision == StockDecision::Barred { "barred" } else { "rejected" });
                ok(self.decide(&order, &decision, &self.racer(2)).await);
                let stands = reservation(decision, &self.racer(2));
                let answer = ok(self.close(&order, end, &lines, &self.racer(3)).await);
                assert_eq!(answer, Commit::Existing(stands.clone()));
                assert_eq!(self.find(&order).await, Some(stands));
            }
            let unknown = self.order("unknown");
            assert_permanent(self.close(&unknown, end, &lines, &self.racer(4)).await);
            assert_eq!(self.find(&unknown).await, None, "nothing is written");
        }
        assert_eq!(self.level(&sku).await, level(5, 5, 0), "nothing moved");
    }

    async fn the_largest_order_is_one_step(&self) {
        let skus: Vec<Sku> =
            (0..domain::Order::LINES_MAX).map(|number| self.sku(&format!("large-{number}"))).collect();
        let lines: Vec<StockLine> = skus.iter().map(|sku| line(sku, 2)).collect();
        let last = &skus[skus.len() - 1];
        let levels = async || {
            let is_of_order = |(sku, level)| skus.contains(&sku).then_some(level);
            self.levels().await.into_iter().filter_map(is_of_order).collect::<Vec<StockLevel>>()
        };
        join_all(skus.iter().map(|sku| persist(async move || self.store.set_available(sku, 2).await))).await;

        self.count(last, 1).await;
        let short = self.order("large-short");
        let expected = Shortage { sku: last.clone(), requested: lines[0].quantity, available: 1 };
        let answer = ok(self.reserve(&short, &lines, &self.racer(1)).await);
        assert_eq!(answer, Reserve::Short(vec![expected]));
        assert!(levels().await.iter().all(|level| level.reserved == 0), "nothing is promised");

        self.count(last, 2).await;
        for (name, end, after) in
            [("large-1", StockEnd::Released, level(2, 0, 0)), ("large-2", StockEnd::Shipped, level(0, 0, 2))]
        {
            let order = self.order(name);
            assert_eq!(ok(self.reserve(&order, &lines, &self.racer(2)).await), Reserve::Reserved);
            assert_eq!(levels().await, vec![level(0, 2, 0); lines.len()], "every line is promised");
            let known = ok(self.reserve(&order, &lines, &self.racer(2)).await);
            assert!(matches!(known, Reserve::Existing(_)), "known, though every line is short: {known:?}");
            assert_eq!(ok(self.close(&order, end, &lines, &self.racer(3)).await), Commit::Written);
            assert_eq!(levels().await, vec![after; lines.len()], "every line is moved");
        }
    }

    async fn what_is_more_than_one_step_is_refused(&self) {
        let (sku, order) = (self.sku("twice"), self.order("more-than-one-step"));
        self.count(&sku, 10).await;
        let twice = [line(&sku, 1), line(&sku, 2)];
        let too_many: Vec<StockLine> = (0..=domain::Order::LINES_MAX)
            .map(|number| line(&self.sku(&format!("too-many-{number}")), 1))
            .collect();
        for lines in [&twice[..], &too_many] {
            assert_permanent(self.reserve(&order, lines, &self.racer(1)).await);
            assert_eq!(self.find(&order).await, None, "nothing is written");
        }
        assert_eq!(self.level(&sku).await, level(10, 0, 0), "nothing is promised");
    }

    async fn an_order_may_be_named_as_a_sku_is(&self) {
        let (sku, order) = (self.sku("same-name"), self.order("same-name"));
        let lines = [line(&sku, 1)];
        self.count(&sku, 3).await;
        assert_eq!(self.find(&order).await, None, "a count is no reservation");
        assert_eq!(ok(self.reserve(&order, &lines, &self.racer(1)).await), Reserve::Reserved);
        assert_eq!(self.level(&sku).await, level(2, 1, 0));
        let names = self.levels().await;
        assert_eq!(names.iter().filter(|(other, _)| *other == sku).count(), 1, "a reservation is no SKU");
    }

    async fn of_racing_decisions_one_stands(&self) {
        let (sku, order) = (self.sku("race-decide"), self.order("race-decide"));
        self.count(&sku, 100).await;
        let racers = Racer::all(self.unique, "decide");
        let attempts: Vec<(&Racer, StockDecision)> = racers
            .iter()
            .zip((1_i64..).zip(DECISIONS.iter().cycle()))
            .map(|(racer, (quantity, decision_of))| (racer, decision_of(&[line(&sku, quantity)])))
            .collect();
        let order_id = &order;
        let decide = |(racer, decision)| persist(async move || self.decide(order_id, decision, racer).await);
        let answers = join_all(attempts.iter().map(|(racer, decision)| decide((*racer, decision)))).await;

        let stands = self.find(&order).await.expect("the order is known");
        let is_winner = |(racer, _): &&(&Racer, StockDecision)| racer.event_id == stands.decided_by;
        let (winner, decision) = attempts.iter().find(is_winner).expect("a racer won");
        assert_eq!(stands, reservation(decision.clone(), winner), "one decision, not parts of two");
        for ((racer, _), answer) in attempts.iter().zip(answers) {
            match answer {
                Reserve::Existing(existing) => assert_eq!(existing, stands, "everyone is told the winner"),
                Reserve::Reserved => {
                    assert_eq!(racer.event_id, winner.event_id, "whoever was told so wrote it")
                }
                Reserve::Short(_) => panic!("there is plenty"),
            }
        }
        let reserved = match decision {
            StockDecision::Reserved(lines) => lines[0].quantity.get().into(),
            _ => 0,
        };
        assert_eq!(self.level(&sku).await, level(100 - reserved, reserved, 0), "promised once");
    }

    async fn of_racing_ends_one_stands(&self) {
        let (sku, order) = (self.sku("race-end"), self.order("race-end"));
        self.count(&sku, 100).await;
        // Someone else holds enough that every racer could take its part.
        ok(self.reserve(&self.order("race-end-other"), &[line(&sku, 80)], &self.racer(1)).await);
        let lines = &[line(&sku, 2)];
        ok(self.reserve(&order, lines, &self.racer(1)).await);

        let racers = Racer::all(self.unique, "end");
        let end_of = |racer: &Racer| ENDS[usize::from(racer.number % 2 == 0)];
        let order_id = &order;
        let close = |racer| persist(async move || self.close(order_id, end_of(racer), lines, racer).await);
        let answers = join_all(racers.iter().map(close)).await;

        let stands = self.find(&order).await.expect("the order is known");
        let closing = stands.closing.clone().expect("the promise has ended");
        let winner = racers.iter().find(|racer| racer.event_id == closing.decided_by).expect("a racer won");
        assert_eq!(closing.end, end_of(winner), "one end, not parts of two");
        assert_eq!(closing.decided_at, instant(winner.number), "one end, not parts of two");
        for (racer, answer) in racers.iter().zip(answers) {
            match answer {
                Commit::Written => {
                    assert_eq!(racer.event_id, winner.event_id, "whoever was told so wrote it")
                }
                Commit::Existing(existing) => assert_eq!(existing, stands, "everyone is told the winner"),
            }
        }
        let expected = match closing.end {
            StockEnd::Released => level(20, 80, 0),
            StockEnd::Shipped => level(18, 80, 2),
        };
        assert_eq!(self.level(&sku).await, expected, "moved once");
    }

    async fn racing_orders_are_promised_what_there_is_and_no_more(&self) {
        const PROMISES: u64 = 3;
        let skus = ["race-1", "race-2"].map(|name| self.sku(name));
        for sku in &skus {
            self.count(sku, PROMISES).await;
        }
        let racers = Racer::all(self.unique, "order");
        // Half of them name the SKUs the other way round, which is how a store that locks comes to a standstill.
        let lines = [[line(&skus[0], 1), line(&skus[1], 1)], [line(&skus[1], 1), line(&skus[0], 1)]];
        let lines_of = |racer: &Racer| &lines[usize::from(racer.number % 2 == 0)];
        let order_of = |racer: &Racer| self.order(&format!("race-{}", racer.number));
        let reserve = |racer| {
            let order = order_of(racer);
            persist(async move || self.reserve(&order, lines_of(racer), racer).await)
        };
        let watch = async {
            for _ in 0..RACERS {
                // Asserts that what is there adds up while the others are at it.
                self.level(&skus[0]).await;
            }
        };
        let (answers, ()) = join(join_all(racers.iter().map(reserve)), watch).await;

        let mut promised = 0;
        for (racer, answer) in racers.iter().zip(answers) {
            let found = self.find(&order_of(racer)).await;
            if let Reserve::Short(_) = answer {
                assert_eq!(found, None, "nothing is written");
            } else {
                // Reserved, or found its own reservation, whose answer was lost.
                let decision = StockDecision::Reserved(lines_of(racer).to_vec());
                assert_eq!(found, Some(reservation(decision, racer)));
                promised += 1;
            }
        }
        assert_eq!(promised, PROMISES, "all there is, and no more");
        for sku in &skus {
            assert_eq!(self.level(sku).await, level(0, PROMISES, 0));
        }
    }

    async fn racing_counts_lose_no_reservation(&self) {
        let sku = &self.sku("race-count");
        self.count(sku, 1_000).await;
        let lines = &[line(sku, 1)];
        let racers = Racer::all(self.unique, "count");
        let both = |racer: &Racer| {
            let order = self.order(&format!("race-count-{}", racer.number));
            let by = self.racer(racer.number);
            let reserve = persist(async move || self.reserve(&order, lines, &by).await);
            let count = persist(async move || self.store.set_available(sku, 1_000).await);
            async move {
                let (reserved, counted) = join(reserve, count).await;
                assert!(!matches!(reserved, Reserve::Short(_)), "there is plenty");
                assert!(counted.is_conserved(), "{counted:?}");
            }
        };
        join_all(racers.iter().map(both)).await;
        let racers = u64::try_from(RACERS).expect("a few");
        assert_eq!(self.level(sku).await.reserved, racers, "no reservation is lost");
        assert_eq!(self.count(sku, 7).await, level(7, racers, 0));
    }

    /// Decides about an order in whichever way is asked for; the answers of all three take one form.
    async fn decide(
        &self,
        order_id: &OrderId,
        decision: &StockDecision,
        by: &Racer,
    ) -> Result<Reserve, PortError> {
        let commit = match decision {
            StockDecision::Reserved(lines) => return self.reserve(order_id, lines, by).await,
            StockDecision::Rejected(shortages) => {
                self.store.reject(order_id, shortages, &by.decided()).await?
            }
            StockDecision::Barred => self.store.bar(order_id, &by.decided()).await?,
        };
        Ok(match commit {
            Commit::Written => Reserve::Reserved,
            Commit::Existing(existing) => Reserve::Existing(existing),
        })
    }

    async fn reserve(
        &self,
        order_id: &OrderId,
        lines: &[StockLine],
        by: &Racer,
    ) -> Result<Reserve, PortError> {
        self.store.reserve(order_id, lines, &by.decided()).await
    }

    async fn close(
        &self,
        order_id: &OrderId,
        end: StockEnd,
        lines: &[StockLine],
        by: &Racer,
    ) -> Result<Commit<Reservation>, PortError> {
        self.store.close(order_id, end, lines, &by.decided()).await
    }

    async fn find(&self, order_id: &OrderId) -> Option<Reservation> {
        ok(self.store.find(order_id).await)
    }

    async fn count(&self, sku: &Sku, available: u64) -> StockLevel {
        let level = ok(self.store.set_available(sku, available).await);
        assert!(level.is_conserved(), "{level:?}");
        level
    }

    async fn level(&self, sku: &Sku) -> StockLevel {
        let levels = self.levels().await;
        levels.into_iter().find(|(other, _)| other == sku).expect("the SKU was counted").1
    }

    /// The levels of this run's SKUs; those of others change meanwhile.
    async fn levels(&self) -> Vec<(Sku, StockLevel)> {
        let mut levels = ok(self.store.levels().await);
        levels.retain(|(sku, _)| sku.as_str().ends_with(self.unique));
        for (sku, level) in &levels {
            assert!(level.is_conserved(), "{sku}: {level:?}");
        }
        levels
    }

    fn sku(&self, name: &str) -> Sku {
        sku(self.unique, name)
    }

    fn order(&self, name: &str) -> OrderId {
        order_id(self.unique, name)
    }

    fn racer(&self, number: i64) -> Racer {
        Racer { number, event_id: event_id(self.unique, &format!("event-{number}")) }
    }
}

fn is_written(answer: &Reserve) -> bool {
    matches!(answer, Reserve::Reserved)
}

fn level(available: u64, reserved: u64, shipped: u64) -> StockLevel {
    StockLevel { available, reserved, shipped, received: available + reserved + shipped }
}

fn shortages(lines: &[StockLine]) -> Vec<Shortage> {
    let shortage = |line: &StockLine| Shortage {
        sku: line.sku.clone(),
        requested: line.quantity,
        available: u64::from(line.quantity.get()) - 1,
    };
    lines.iter().map(shortage).collect()
}

fn reservation(decision: StockDecision, by: &Racer) -> Reservation {
    let Decided { by, at } = by.decided();
    Reservation { decision, decided_by: by.clone(), decided_at: at, closing: None }
}
