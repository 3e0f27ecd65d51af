# Dalli, what Rails uses: speaks binary, with and without a login.
#
# Prints one line per check as checks.py does.

require 'dalli'
require 'logger'

MODE = ENV.fetch('MODE')
SERVERS = ENV.fetch('SERVERS').split(',')
LOGIN = { username: ENV.fetch('USERNAME'), password: ENV.fetch('PASSWORD') }.freeze
CHECKS = {}

Dalli.logger = Logger.new(IO::NULL)

def client(where = SERVERS.first, **options)
  login = MODE == 'sasl' ? LOGIN : { username: nil, password: nil }
  Dalli::Client.new(where, { socket_timeout: 10, **login, **options })
end

def check(name, &block)
  CHECKS[name] = block
end

def equal(left, right)
  raise "#{left.inspect} is not #{right.inspect}" unless left == right
end

def eventually(what)
  deadline = Time.now + 5
  until yield
    raise "still not after 5 s: #{what}" if Time.now > deadline

    sleep 0.05
  end
end

# A write answers with the new value's number, and with nothing or 0 if it did not happen.
def refused?
  [nil, false, 0].include?(yield)
rescue Dalli::DalliError
  true
end

check 'a value comes back' do
  c = client
  c.set('key', 'value', 1000)
  equal c.get('key'), 'value'
  equal c.get('nothing'), nil
end

check 'types come back' do
  c = client
  [17, 2**70, 1.5, "\0\r\n\xff", 'ünïcode', [1, { 'a' => nil }], 'long ' * 9999].each do |value|
    c.set('key', value)
    equal c.get('key'), value
  end
  c = client(compress: true)
  c.set('key', 'long ' * 9999)
  equal c.get('key'), 'long ' * 9999
end

check 'many keys at once' do
  c = client(SERVERS)
  values = (0...500).to_h { |n| ["key#{n}", n] }
  c.multi { values.each { |key, value| c.set(key, value) } }
  equal c.get_multi(*values.keys, 'nothing'), values
  c.multi { values.each_key { |key| c.delete(key) } }
  equal c.get_multi(*values.keys), {}
end

check 'add and replace look first' do
  c = client
  equal refused? { c.replace('key', '1') }, true
  equal refused? { c.add('key', '2') }, false
  equal refused? { c.add('key', '3') }, true
  equal refused? { c.replace('key', '4') }, false
  equal c.get('key'), '4'
end

check 'cas lets one writer win' do
  c = client
  c.set('key', 'old')
  value, cas = c.get_cas('key')
  equal value, 'old'
  equal refused? { c.set_cas('key', 'new', cas) }, false
  equal refused? { c.set_cas('key', 'late', cas) }, true
  equal refused? { c.delete_cas('key', cas) }, true
  equal c.get('key'), 'new'
  equal refused? { c.cas('key') { |old| "#{old}er" } }, false
  equal c.get('key'), 'newer'
end

check 'counters count' do
  c = client
  equal c.incr('key', 1), nil
  equal c.incr('key', 5, 1000, 10), 10
  equal c.incr('key', 5), 15
  equal c.decr('key', 100), 0
end

check 'append and prepend extend' do
  c = client
  equal refused? { c.append('key', 'x') }, true
  c.set('key', 'b', 0, raw: true)
  c.append('key', 'c')
  c.prepend('key', 'a')
  equal c.get('key', raw: true), 'abc'
end

check 'touch and gat give time' do
  c = client
  equal c.touch('key', 1000), nil
  %w[touched got other].each { |key| c.set(key, 'x', 1) }
  equal c.touch('touched', 1000), true
  equal c.gat('got', 1000), 'x'
  eventually('the other has expired') { c.get('other').nil? }
  equal c.get_multi('touched', 'got').length, 2
end

check 'delete removes' do
  c = client
  equal c.delete('key'), nil
  c.set('key', 'x')
  equal c.delete('key'), true
  equal c.get('key'), nil
end

check 'a missing value is computed once' do
  c = client
  calls = 0
  3.times { equal c.fetch('key', 1000) { calls += 1 }, 1 }
  equal calls, 1
end

check 'large values come back' do
  c = client(compress: false)
  value = "some\0text " * (100 << 10)
  c.set('key', value, 0, raw: true)
  equal c.get('key', raw: true) == value, true
end

check 'a value too large is refused and the connection goes on' do
  c = client(compress: false, value_max_bytes: 4 << 20)
  equal refused? { c.set('key', 'x' * (1100 << 10)) }, true
  c.set('key', 'small')
  equal c.get('key'), 'small'
end

check 'statistics and versions can be read' do
  c = client(SERVERS)
  equal c.stats.keys.sort, SERVERS.sort
  c.stats.each_value { |numbers| equal numbers['limit_maxbytes'].to_i.positive?, true }
  c.version.each_value { |version| equal version.start_with?('1.6.'), true }
end

if MODE == 'sasl'
  check 'a wrong password opens nothing' do
    client.set('key', 'x')
    equal refused? { client(password: 'wrong').get('key') }, true
    equal refused? { client(username: 'owl').get('key') }, true
    equal client.get('key'), 'x'
  end
end

failures = 0
CHECKS.each do |name, block|
  client(SERVERS).flush
  block.call
  puts "ok dalli, #{MODE}: #{name}"
rescue StandardError => e
  failures += 1
  puts "FAILED dalli, #{MODE}: #{name}: #{e.class}: #{e.message[0, 300].gsub(/\s+/, ' ')}"
end
exit(failures.zero? ? 0 : 1)
