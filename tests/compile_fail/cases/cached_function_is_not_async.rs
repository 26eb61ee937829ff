use tower_keep::Keep;

#[tower_keep::cached(key = "engagement:{id}")]
fn engagement(keep: &Keep, id: u32) -> u32 {
    id
}

fn main() {}
