use super::{ok, order_id};
use crate::{FulfilmentCentre, Notice};

/// The suite of [`FulfilmentCentre`]. `accepted` says whether exactly this notice was accepted for delivery, and may
/// wait for it.
pub async fn fulfilment_centre<C: FulfilmentCentre>(
    centre: &C,
    accepted: impl AsyncFn(&Notice) -> bool,
    unique: &str,
) {
    for kind in ["ship", "cancel"] {
        let notice = Notice {
            kind,
            notice_id: format!("{kind}-{unique}"),
            order_id: order_id(unique, "notice"),
            body: format!(r#"{{"kind":"{kind}","name":"Zoë \"Z\" <&>"}}"#),
        };
        ok(centre.tell(&notice).await);
        assert!(accepted(&notice).await, "the {kind} notice was answered with success and is not there");
        // A caller that crashed sends it again.
        ok(centre.tell(&notice).await);
    }
}
