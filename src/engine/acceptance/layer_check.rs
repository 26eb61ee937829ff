//! Whether writes that should be queued pass a `WriteBehindLayer`.

use http::Extensions;

use crate::{
    engine::core::Engine, message::layer_markers::LayerMarkers, table::RoutePlan,
    write_queue::Applying,
};

/// Reports a write to this route that no `WriteBehindLayer` of the keep has seen, if the route queues its
/// writes.
pub(crate) fn report_missing_layer(engine: &Engine, route: &RoutePlan, extensions: &Extensions) {
    let is_handled = || {
        LayerMarkers::of(extensions).write_behind == engine.id()
            || extensions.get::<Applying>().is_some()
    };
    if route.needs_write_behind_layer() && !is_handled() {
        engine.report_misuse(format_args!(
            "a write of the route {:?} with `write = \"behind\"` is applied at once, and may overtake writes that are queued: add a WriteBehindLayer of the same keep outside the InvalidateLayer and the CacheLayer",
            route.path
        ));
    }
}
