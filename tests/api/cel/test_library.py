"""The library of Kubernetes: each function by what it gives."""

import pytest

from bireme.api.cel.admission import AUTHORIZER
from bireme.api.cel.environment import Environment
from bireme.api.cel.errors import CelError
from bireme.api.cel.library.authorizer import Answer, Authorizer, Check
from bireme.api.cel.program import compile

TRUE = [
    "quantity('1Gi').isGreaterThan(quantity('1G'))",
    "quantity('1000m') == quantity('1')",
    "quantity('50k').add(quantity('20k')) == quantity('70k')",
    "quantity('50k').add(20) == quantity('50020')",
    "quantity('50k').sub(quantity('20k')).isLessThan(quantity('31k'))",
    "quantity('50k').sub(20000) == quantity('30k')",
    "quantity('200M').compareTo(quantity('0.2G')) == 0",
    "quantity('-1').sign() == -1",
    "quantity('50k').asInteger() == 50000",
    "quantity('50.5').asApproximateFloat() == 50.5",
    "quantity('50k').isInteger() && !quantity('50.5').isInteger()",
    "isQuantity('1.5Gi') && !isQuantity('many')",
    "ip('192.168.0.1').family() == 4 && ip('::1').family() == 6",
    "ip('127.0.0.1').isLoopback() && ip('::1').isLoopback()",
    "ip('0.0.0.0').isUnspecified()",
    "ip('224.0.0.1').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()",
    "ip('169.254.1.1').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast()",
    "ip('10.1.1.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()",
    "ip('fd00::1') == ip('fd00:0:0::1')",
    "string(ip('fd00:0:0::1')) == 'fd00::1'",
    "ip.isCanonical('fd00::1') && !ip.isCanonical('fd00:0:0::1')",
    "isIP('1.2.3.4') && !isIP('1.2.3') && !isIP('::ffff:1.2.3.4') && !isIP('01.2.3.4') && !isIP('fe80::1%eth0')",
    "cidr('10.0.0.0/8').containsIP('10.9.9.9') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
    "!cidr('10.0.0.0/8').containsIP('::1')",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')",
    "cidr('10.1.2.3/8').ip() == ip('10.1.2.3') && cidr('10.1.2.3/8').prefixLength() == 8",
    "string(cidr('10.0.0.0/8')) == '10.0.0.0/8'",
    "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/33')",
    "url('https://example.com:80/a%20b?k=v&k=w').getScheme() == 'https'",
    "url('https://example.com:80/').getHost() == 'example.com:80'",
    "url('https://[::1]:80/').getHostname() == '::1' && url('https://[::1]:80/').getPort() == '80'",
    "url('https://e.com/a%20b').getPath() == '/a b' && url('https://e.com/a%20b').getEscapedPath() == '/a%20b'",
    "url('https://e.com/?k=v&k=w').getQuery() == {'k': ['v', 'w']}",
    "isURL('https://e.com') && isURL('/path') && !isURL('e.com') && !isURL('../x')",
    "semver('1.2.3').isLessThan(semver('1.10.0'))",
    "semver('1.0.0-alpha.1').isLessThan(semver('1.0.0-alpha.beta'))",
    "semver('1.0.0').isGreaterThan(semver('1.0.0-rc.1'))",
    "semver('v1.2', true).minor() == 2 && semver('01.1', true).major() == 1 && semver('1.2.3').patch() == 3",
    "semver('1.2.3').compareTo(semver('1.2.3')) == 0 && semver('1.0.0+a') == semver('1.0.0+b')",
    "isSemver('1.2.3-rc.1+b') && !isSemver('1.2') && !isSemver('v1.2.3') && isSemver('v1.2', true)",
    "format.dns1123Label().validate('my-name').hasValue() == false",
    "format.dns1123Label().validate('My').value().size() == 1",
    "format.dns1123LabelPrefix().validate('my-').hasValue() == false",
    "format.named('qualifiedName').value().validate('a.io/b') == optional.none()",
    "!format.named('nothing').hasValue()",
    "format.uuid().validate('123e4567-e89b-12d3-a456-426614174000') == optional.none()",
    "format.date().validate('2024-02-30').value() == ['invalid date']",
    "format.byte().validate('aGk=') == optional.none() && format.uri().validate('x').hasValue()",
    "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
    "'1 22 333'.findAll('[0-9]+') == ['1', '22', '333'] && '1 22'.findAll('[0-9]+', 1) == ['1']",
    "'a-b'.find('(a)-(b)') == 'a-b'",
    "[1, 2, 3].isSorted() && !['b', 'a'].isSorted()",
    "[1, 2, 3].sum() == 6 && [1.5].sum() == 1.5 && [duration('1m'), duration('1s')].sum() == duration('61s')",
    "[3, 1].min() == 1 && ['a', 'b'].max() == 'b'",
    "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(5) == -1",
    "'hello'.charAt(4) == 'o' && 'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3",
    "'hello'.substring(1, 3) == 'el' && 'hello'.substring(4) == 'o'",
    "'Hi'.lowerAscii() == 'hi' && 'hi'.upperAscii() == 'HI' && ' a '.trim() == 'a'",
    "'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'abc'.split('') == ['a', 'b', 'c'] && 'a'.split(',', 0) == []",
    "['a', 'b'].join('-') == 'a-b' && ['a', 'b'].join() == 'ab'",
    "'aXbX'.replace('X', '-') == 'a-b-' && 'aXbX'.replace('X', '-', 1) == 'a-bX'",
    "'%s %d %.2f %x %b %e'.format(['a', 1, 1.5, 255, 5, 1000.0]) == 'a 1 1.50 ff 101 1.000000e+03'",
    "'%s'.format([[dyn(1), 'a', {'k': null}]]) == '[1, a, {k: null}]' && '100%%'.format([]) == '100%'",
    "strings.quote('a\"b') == '\"a\\\\\"b\"'",
    "'abc'.reverse() == 'cba'",
    "jsonpatch.escapeKey('k8s.io/a~b') == 'k8s.io~1a~0b'",
    "sets.contains([1, 2], [2]) && sets.equivalent([1, 2, 2], [2, 1]) && !sets.intersects([1], [2])",
    "math.greatest(1, 2.5, 2) == 2.5 && math.least([3, 1]) == 1 && math.abs(-1) == 1",
    "math.ceil(1.2) == 2.0 && math.floor(1.8) == 1.0 && math.round(2.5) == 3.0 && math.trunc(-1.5) == -1.0",
    "math.bitAnd(6, 3) == 2 && math.bitOr(4, 1) == 5 && math.bitShiftLeft(1, 3) == 8 && math.sign(-2) == -1",
    "timestamp('2024-05-06T07:08:09Z').getDayOfWeek() == 1",
    "timestamp('2024-05-06T07:08:09Z').getHours('Europe/Berlin') == 9",
]


@pytest.mark.parametrize("expression", TRUE)
def test_holds(evaluate, expression):
    assert evaluate(expression) is True


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("quantity('many')", "quantities must match the regular expression"),
        ("quantity('1.5').asInteger()", "cannot convert value to integer"),
        ("ip('x')", 'IP Address "x" parse error'),
        ("cidr('10.0.0.0')", "network address parse error"),
        ("url('x y')", "URL parse error during conversion from string"),
        ("semver('1.2')", "Invalid semantic version"),
        ("'a'.charAt(5)", "index out of range: 5"),
        ("'abc'.substring(2, 1)", "invalid substring range. start: 2, end: 1"),
        ("'%d'.format(['a'])", "error during formatting: %d cannot be used on string"),
        ("'%s'.format([])", "index 0 out of range"),
        ("'%z'.format([1])", "unrecognized formatting clause"),
        ("dyn([]).min()", "min called on empty list"),
        ("math.bitShiftLeft(1, -1)", "negative offset"),
    ],
)
def test_fails(evaluate, expression, fault):
    with pytest.raises(CelError) as failure:
        evaluate(expression)
    assert fault in str(failure.value)


def _decide(check: Check) -> Answer:
    allowed = check.verb == "get" or check.service_account == "default:bot"
    place = f"{check.group}/{check.resource}/{check.subresource} {check.namespace}/{check.name}{check.path}"
    return Answer(allowed, reason=f"{check.verb} {place}")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("authorizer.group('apps').resource('deployments').namespace('a').name('b').check('get').allowed()", True),
        ("authorizer.group('apps').resource('deployments').subresource('scale').check('update').allowed()", False),
        (
            "authorizer.group('apps').resource('d').subresource('s').namespace('n').check('x').reason()",
            "x apps/d/s n/",
        ),
        ("authorizer.path('/healthz').check('get').allowed()", True),
        ("authorizer.serviceAccount('default', 'bot').group('').resource('pods').check('create').allowed()", True),
        ("authorizer.path('/x').check('get').errored() || authorizer.path('/x').check('get').error() != ''", False),
    ],
)
def test_authorizer(expression, value):
    program = compile(expression, Environment({"authorizer": AUTHORIZER}))
    assert program.evaluate({"authorizer": Authorizer(_decide)}) == value


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("authorizer.path('').check('get').allowed()", "path must not be empty"),
        ("authorizer.group('').resource('').check('get').allowed()", "resource must not be empty"),
        (
            "authorizer.serviceAccount('A', 'b').path('/x').check('get').allowed()",
            "Invalid service account namespace",
        ),
    ],
)
def test_authorizer_refuses(expression, fault):
    program = compile(expression, Environment({"authorizer": AUTHORIZER}))
    with pytest.raises(CelError, match=fault):
        program.evaluate({"authorizer": Authorizer(_decide)})


def test_only_two_checks_are_paid_for():
    check = "authorizer.path('/a').check('put').allowed()"
    program = compile(f"{check} || {check} || {check}", Environment({"authorizer": AUTHORIZER}))
    with pytest.raises(CelError, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate({"authorizer": Authorizer(_decide)})
