//! The scripts of the queue.

use std::sync::LazyLock;

use crate::store::redis::script::Script;

macro_rules! script {
    ($($file:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!($file)),+)))
    };
}

pub(super) static PUSH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        "local function accept()\n",
        include_str!("common.lua"),
        include_str!("push.lua"),
        "end\n",
        include_str!("usual.lua")
    ))
});
pub(super) static DUE: LazyLock<Script> = script!("common.lua", "hand_outs.lua", "due.lua");
pub(super) static CLAIM: LazyLock<Script> = script!("common.lua", "hand_outs.lua", "claim.lua");
pub(super) static RENEW: LazyLock<Script> = script!("common.lua", "renew.lua");
pub(super) static END: LazyLock<Script> = script!("common.lua", "end.lua");
pub(super) static ASK: LazyLock<Script> = script!("ask.lua");
pub(super) static REQUESTS: LazyLock<Script> = script!("requests.lua");
pub(super) static STATUS: LazyLock<Script> = script!("common.lua", "status.lua");
pub(super) static LETTERS: LazyLock<Script> = script!("letters.lua");
pub(super) static LETTER: LazyLock<Script> = script!("common.lua", "letter.lua");
pub(super) static PAUSE: LazyLock<Script> = script!("common.lua", "pause.lua");
pub(super) static COUNTS: LazyLock<Script> = script!("common.lua", "counts.lua");
pub(super) static REPAIR: LazyLock<Script> = script!("types.lua", "common.lua", "repair.lua");
