from bireme.registry.identity import identity_of


def test_a_machine_has_a_name_that_fits_a_lease():
    assert identity_of("a") == identity_of("a") != identity_of("b")
    assert len(identity_of("a")) == len("apiserver-") + 26
    assert identity_of("a").replace("-", "").isalnum()
