use contracts::format_timestamp;
use domain::QuarantineId;
use ports::{Clock, DeadLetterQueues, EventBus, OnCall, QuarantineStore, RedriveLedger, RedriveTargets};
use runtime::Deadline;
use serde_json::Value;

use crate::config::Settings;
use crate::release_message::{ReleaseError, Released, release_message};
use crate::reprocess_queues::{Order, Run, Summary};
use crate::survey_queues::{Survey, survey_queues};

/// This function's name.
pub const NAME: &str = "dlq-reprocessor";

/// Looks after the dead letters of a stack.
#[derive(Debug)]
pub struct Reprocessor<Q, T, L, S, B, O, C> {
    /// Where dead letters lie.
    pub queues: Q,
    /// Where they go back to.
    pub targets: T,
    /// What is known of them.
    pub ledger: L,
    /// Where those are kept that are given up on.
    pub quarantine: S,
    /// Where it says so.
    pub bus: B,
    /// Whom it tells.
    pub on_call: O,
    /// What time it is.
    pub clock: C,
    /// How it goes about it.
    pub settings: Settings,
}

impl<Q, T, L, S, B, O, C> Reprocessor<Q, T, L, S, B, O, C>
where
    Q: DeadLetterQueues,
    T: RedriveTargets,
    L: RedriveLedger,
    S: QuarantineStore,
    B: EventBus,
    O: OnCall,
    C: Clock,
{
    /// Answers one invocation, whatever is in its payload.
    pub async fn respond(&self, _schedule: Value, deadline: Deadline) -> Summary {
        self.reprocess(&Order::default(), deadline).await
    }

    /// Goes through the dead letters that an order is about, and says what became of them.
    pub async fn reprocess(&self, order: &Order, deadline: Deadline) -> Summary {
        let begun_at = format_timestamp(self.clock.now());
        let summary = Run::new(self, order, deadline).run().await;
        tracing::info!(
            consumer = NAME,
            begun_at,
            received = summary.received,
            redriven = summary.redriven,
            postponed = summary.postponed,
            quarantined = summary.quarantined,
            deleted = summary.deleted,
            skipped = summary.skipped,
            failed = summary.failed,
            unreachable = summary.unreachable,
            may_have_more = summary.may_have_more,
            ran_out_of_time = summary.ran_out_of_time,
            "run ended"
        );
        summary
    }

    /// Looks at the dead letters that an order is about, and at quarantine, and says what would become of them. Changes
    /// nothing; but to look at a message in a queue is to receive it, so nobody else sees it meanwhile.
    ///
    /// # Errors
    /// [`ports::PortError`] when a queue or the ledger does not answer.
    pub async fn survey(&self, order: &Order) -> Result<Survey, ports::PortError> {
        survey_queues(self, order).await
    }

    /// Brings a message back from quarantine.
    ///
    /// # Errors
    /// [`ReleaseError`] says why it was not.
    pub async fn release(&self, id: &QuarantineId) -> Result<Released, ReleaseError> {
        release_message(&self.quarantine, &self.ledger, &self.targets, &self.settings.queues, id).await
    }
}
