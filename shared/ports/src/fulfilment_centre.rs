use crate::PortError;

/// A message to the fulfilment centre.
#[derive(Clone, PartialEq, Eq)]
pub struct Notice {
    /// What is asked: `ship` or `cancel`. The receiver can filter by it.
    pub kind: &'static str,
    /// The same however often the notice is sent: the receiver acts once for each.
    pub notice_id: String,
    /// Which order.
    pub order_id: domain::OrderId,
    /// JSON. Holds personal data.
    pub body: String,
}

/// Whoever packs and sends.
pub trait FulfilmentCentre: Send + Sync {
    /// Sends a notice, at least once.
    ///
    /// MUST NOT answer success before the notice is accepted for delivery.
    fn tell(&self, notice: &Notice) -> impl Future<Output = Result<(), PortError>> + Send;
}
