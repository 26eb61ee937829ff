//! The table's settings of write-behind, as the queue takes them.

use crate::{
    store::contracts::queue::{QueueBounds, Retention},
    table::BehindPlan,
};

pub(crate) fn bounds(plan: &BehindPlan) -> QueueBounds {
    QueueBounds {
        max_queue: plan.max_queue,
        max_bytes: plan.max_bytes,
        max_per_key: plan.max_per_key,
        retention: retention(plan),
        durability: plan.durable,
    }
}

pub(crate) fn retention(plan: &BehindPlan) -> Retention {
    Retention {
        result: plan.keep_result,
        idempotency: plan.idempotency,
        max_dead: plan.max_dead,
        max_dead_bytes: plan.max_dead_bytes,
        dead_age: plan.dead_age,
    }
}
