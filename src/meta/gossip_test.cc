// The exchange over real sessions: three simulated hosts, TLS, a network that is cut.
#include "meta/exchange.h"
#include "meta/meta_test.h"
#include "net/admission.h"
#include "net/peer_net.h"

namespace mars::meta {
namespace {

using namespace std::chrono_literals;

constexpr net::ServiceId metadata_service = 2;

class GossipHost : public net::PeerOwner {
 public:
  GossipHost(sim::World& world, std::string name, const io::KeyPair& ca, const Uuid& cluster)
      : world_(world), machine_(world.host(name).machine()), name_(std::move(name)), scope_(machine_.ready()) {
    Registers::Options options{"/meta.db", uuid()};
    registers_ = world_.run(machine_, Registers::open(machine_, options)).value();
    services_.add(metadata_service, [this](std::unique_ptr<net::Channel> channel, const net::Bytes&) {
      return exchange(*registers_, std::move(channel));
    });
    net::PeerNetOptions net_options;
    net_options.cluster = cluster;
    net_options.host = uuid();
    net_options.name = name_;
    net_options.incarnation = registers_->writer().incarnation;
    net_options.listen = "[::]:7790";
    io::Keys& keys = machine_.keys();
    net_options.tls.key_pem = *keys.make_key();
    std::string uri = net::host_uri(cluster, uuid());
    net_options.tls.certificate_pem = *keys.sign(ca, *keys.make_request(net_options.tls.key_pem, uri), uri, "host");
    net_options.tls.ca_pem = ca.certificate_pem;
    net_ = std::make_unique<net::PeerNet>(machine_, std::move(net_options), services_, *this);
    EXPECT_EQ(world_.run(machine_, net_->start()).status, Status::ok);
  }
  ~GossipHost() override {
    world_.run(machine_, net_->stop());
    world_.run(machine_, join());
    world_.run(machine_, registers_->close());
  }

  std::vector<net::Member> members() override {
    std::vector<net::Member> all;
    for (const std::string other : {"a", "b", "c"}) {
      if (other != name_) all.push_back({uuid_of(other), other, {other + ":7790"}});
    }
    return all;
  }
  bool is_member(const Uuid&, const io::Sha256&) override { return true; }
  net::Bytes hello_extra() override { return {}; }
  void on_session_up(net::Session& session) override {
    // One conversation for each pair: the side that dialled opens it.
    if (session.is_dialled_here()) scope_.spawn(exchange(*registers_, session.open(metadata_service, {})));
  }
  void on_session_down(const Uuid&, const Error&) override {}
  void on_alarm(const Uuid&, const std::string&) override {}
  void on_refused(const io::Address&, const Error&) override {}

  Registers& registers() { return *registers_; }
  void wish(const std::string& key, std::string_view value) {
    EXPECT_EQ(world_.run(machine_, registers_->set_wish("r", key, bytes_from(value))), Status::ok);
  }
  std::string read(const std::string& key) {
    auto value = registers_->find("r", key);
    return value ? text_of(*value) : "-";
  }

 private:
  static Uuid uuid_of(const std::string& name) { return Uuid::from_random({static_cast<uint8_t>(name[0])}); }
  Uuid uuid() const { return uuid_of(name_); }
  Task<void> join() { co_await scope_.join(); }

  sim::World& world_;
  sim::SimMachine& machine_;
  const std::string name_;
  Scope scope_;
  net::Services services_;
  std::unique_ptr<Registers> registers_;
  std::unique_ptr<net::PeerNet> net_;
};

class GossipTest : public testing::Test {
 protected:
  GossipTest() {
    const Uuid cluster = Uuid::from_random({9});
    io::KeyPair ca = *world.host("a").machine().keys().make_ca(to_string(cluster));
    for (const std::string name : {"a", "b", "c"}) {
      hosts[name] = std::make_unique<GossipHost>(world, name, ca, cluster);
    }
  }
  bool arrives(const std::string& host, const std::string& key, const std::string& value, io::Duration limit = 30s) {
    return world.run_until([&] { return hosts[host]->read(key) == value; }, limit);
  }

  sim::World world{3};
  std::map<std::string, std::unique_ptr<GossipHost>> hosts;
};

TEST_F(GossipTest, a_change_is_everywhere_at_once) {
  hosts["a"]->wish("k", "1");
  EXPECT_TRUE(arrives("b", "k", "1"));
  EXPECT_TRUE(arrives("c", "k", "1"));
  hosts["c"]->wish("k", "2");
  EXPECT_TRUE(arrives("a", "k", "2", 100ms));
  EXPECT_TRUE(arrives("b", "k", "2", 100ms));
}

TEST_F(GossipTest, goes_round_a_cut) {
  hosts["a"]->wish("k", "1");
  ASSERT_TRUE(arrives("b", "k", "1"));
  world.network().cut("a", "b");
  hosts["a"]->wish("k", "2");
  EXPECT_TRUE(arrives("b", "k", "2", 100ms));
}

TEST_F(GossipTest, what_was_wished_on_both_sides_of_a_cut_becomes_one) {
  hosts["a"]->wish("k", "0");
  ASSERT_TRUE(arrives("c", "k", "0"));
  world.network().cut("a", "b");
  world.network().cut("a", "c");
  world.run_for(20s);
  hosts["a"]->wish("k", "of-a");
  hosts["b"]->wish("k", "of-b");
  hosts["b"]->wish("k", "of-b-again");
  ASSERT_TRUE(arrives("c", "k", "of-b-again"));
  EXPECT_EQ(hosts["a"]->read("k"), "of-a");
  world.network().heal("a", "b");
  world.network().heal("a", "c");
  EXPECT_TRUE(arrives("a", "k", "of-b-again"));
  EXPECT_EQ(hosts["b"]->read("k"), "of-b-again");
  EXPECT_TRUE(world.run_until([&] { return hosts["a"]->registers().seen() == hosts["b"]->registers().seen(); }, 10s));
}

}  // namespace
}  // namespace mars::meta
