"""The rules of the contracts, by what they are about; ``testing.contracts`` puts them together."""
