use tower_keep::Keep;

#[tower_keep::cached(key = "engagement:{idd}")]
async fn engagement(keep: &Keep, id: u32) -> u32 {
    id
}

fn main() {}
