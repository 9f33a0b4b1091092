// Random operations beside a model of the volume, with a printed seed. Long runs: CAIRN_MODEL_OPERATIONS for each test.
#include "test/native/store/support/store_model.h"
#include "test/native/support/scale.h"

namespace cairn::test {
namespace {

void run_model(uint32_t block_size, store::CacheMode mode, uint64_t operations) {
  StoreModel model(block_size, mode, test_seed());
  model.run(scale("CAIRN_MODEL_OPERATIONS", operations));
  print_total(model.operations(), "model operations");
}

TEST(StoreModel, RandomOperationsOn4096ByteBlocksReadAsTheModel) { run_model(4096, store::CacheMode::none, 5000); }
TEST(StoreModel, RandomOperationsOn512ByteBlocksReadAsTheModel) { run_model(512, store::CacheMode::none, 5000); }
TEST(StoreModel, RandomOperationsThroughThePageCacheReadAsTheModel) {
  run_model(512, store::CacheMode::writeback, 5000);
}
TEST(StoreModel, RandomOperationsWithDurableWritesReadAsTheModel) {
  run_model(4096, store::CacheMode::writethrough, 500);
}

}  // namespace
}  // namespace cairn::test
