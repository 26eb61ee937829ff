use tower_keep::Keep;

#[tower_keep::cached(key = "engagement:{id}")]
async fn engagement(id: u32) -> u32 {
    id
}

fn main() {}
