use tower_keep::Table;

#[test]
fn the_built_in_table_of_openforge_has_no_errors_or_warnings() {
    let table = Table::from_toml(include_str!("../../examples/openforge/keep.toml"));
    let table = table.expect("a table without faults");
    assert_eq!(table.check(), []);
}
