use tower_keep::Keep;

#[tower_keep::invalidates("engagement:{id}*")]
async fn rename(keep: &Keep, id: u32) -> u32 {
    id
}

fn main() {}
