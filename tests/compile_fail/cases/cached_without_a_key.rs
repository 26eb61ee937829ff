use tower_keep::Keep;

#[tower_keep::cached(ttl = "30m")]
async fn engagement(keep: &Keep, id: u32) -> u32 {
    id
}

fn main() {}
